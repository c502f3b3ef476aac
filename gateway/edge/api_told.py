"""What `/api/v1` answers, as schemas. The answers are the documents of the parts that they come from; tests hold them
against these."""

from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue

from gateway.edge.api_route import Told

JsonObject = dict[str, JsonValue]
Count = Annotated[int, Field(ge=0)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Error(Told):
    code: str
    message: str
    hint: str
    exit_code: Annotated[int, Field(description="What the command line ends with.")]


class Refusal(Told):
    """What every request that is not served gets."""

    error: Error


class RolledBack(Told):
    over: str
    at: str


class ShadowCounts(Told):
    revision: str | None
    trouble: str | None
    counts: dict[str, Count]


class DecisionLogCounts(Told):
    written: Count
    failed: Count
    dropped: Count


class PolicyStatus(Told):
    engine: str
    revision: str
    name: str
    rolled_back: RolledBack | None
    refused: str | None
    shadow: ShadowCounts | None
    decision_log: DecisionLogCounts | None


class ToolCounts(Told):
    callable: Count
    hidden: Count


class UpstreamTold(Told):
    name: str
    state: str
    reason: str | None
    protocol: str | None
    tools: Count
    restarts: Count
    sandbox: str | None


class WebhookTold(Told):
    url: str
    delivered: Count
    failed: Count
    trouble: str | None


class WitnessTold(Told):
    name: str
    standing: str
    size: Count
    reason: str


class AnchoringTold(Told):
    size: Count | None
    at: str | None
    age_seconds: float | None
    witnesses: list[WitnessTold]
    stamped: Count | None
    troubles: dict[str, str]


class Status(Told):
    version: str
    dev: bool
    log_origin: str
    policy: PolicyStatus
    tools: ToolCounts
    upstreams: list[UpstreamTold]
    webhooks: list[WebhookTold]
    anchors: AnchoringTold | None


class ToolTold(Told):
    """A callable tool has mode, declared_by, trust, owner and idempotency; a hidden one says why it is."""

    id: str
    upstream: str
    digest: str
    definition: JsonObject
    callable: bool
    mode: str | None = None
    declared_by: str | None = None
    trust: str | None = None
    owner: str | None = None
    idempotency: str | None = None
    hidden: str | None = None
    explanation: str | None = None


class Tools(Told):
    revision: str
    tools: list[ToolTold]


class Tool(Told):
    """As its upstream lists it now, and as it was approved."""

    listed: list[ToolTold]
    pinned: JsonObject | None


class ToolsApproved(Told):
    approved: list[str]


class ReasonTold(Told):
    code: str
    message: str


class CompensatedTold(Told):
    envelope_id: str
    capability_id: str
    call_digest: str


class QuorumTold(Told):
    count: Count
    of: list[str]


class RequestTold(Told):
    """What an approver signs an answer to. See docs/reference/entries.md."""

    approval_id: str
    envelope_id: str
    call_digest: str
    capability_id: str
    definition_digest: str
    mode: str
    tenant_id: str
    principal_chain: list[str]
    policy_revision: str
    required_approver: str | None
    reasons: list[ReasonTold]
    requested_at: str
    expires_at: str
    advisory: bool
    compensates: CompensatedTold | None = None
    quorum: QuorumTold | None = None
    routes: list[str] | None = None
    approve_for: str | None = None
    run_id: str | None = None
    modified_from: str | None = None


class AnswerTold(Told):
    answer: str
    approver: str
    comment: str
    route: str
    modified_into: str | None = None


class HiddenTold(Told):
    pointer: str
    characters: Count
    digest: str


class Approval(Told):
    request: RequestTold
    state: str
    answers: list[AnswerTold]
    missing: Count
    hidden: list[HiddenTold]


class Approvals(Told):
    approvals: list[Approval]


class ApprovalShown(Approval):
    """With the arguments that would run; null where they are not kept any more."""

    arguments: JsonObject | None


class AnswerRecorded(Told):
    """`missing`: how many yeses are still to come."""

    approval_id: str
    answer: str
    approver: str
    missing: int
    modified_into: str | None = None


class Revoked(Told):
    approval_id: str


class ApproverTold(Told):
    principal: str
    keyid: str


class Approvers(Told):
    approvers: list[ApproverTold]


class Doubt(Told):
    """`reconcile`: the tool that can tell how the call ended, if one is registered."""

    envelope_id: str
    tool: str
    subject: str
    principal_chain: list[str]
    since: str
    why: str | None
    reconcile: str | None


class Doubts(Told):
    in_doubt: list[Doubt]


class ReceiptTold(Told):
    envelope_id: str
    kind: str
    log_origin: str
    leaf_index: Count
    leaf_hash: Digest
    keyid: str
    signature: str


class VerdictRecorded(Told):
    envelope_id: str
    verdict: str
    receipt: ReceiptTold


class Reconciled(Told):
    """`verdict` null: the call is still in doubt, and `why` says what came instead."""

    envelope_id: str
    verdict: str | None
    why: str
    receipt: ReceiptTold | None = None


class Term(Told):
    revision: str
    name: str
    since: str
    how: str


class PolicyHistory(Told):
    terms: list[Term]
    kept: list[str]
    rolled_back: RolledBack | None
    number: Count | None = None


class DifferenceTold(Told):
    envelope_id: str
    capability_id: str
    how: str
    effect: str
    reasons: list[str]
    candidate_effect: str
    candidate_reasons: list[str]


class ShadowTold(ShadowCounts):
    differences: list[DifferenceTold]


class PolicyInForce(Told):
    revision: str


class PolicyRolledBack(PolicyInForce):
    name: str
    rolled_back: RolledBack | None
    refused: str | None


class PolicySourceTold(PolicyRolledBack):
    engine: str
    path: str | None


class PolicyInputs(Told):
    inputs: list[JsonObject]


class PolicyInput(Told):
    input: JsonObject | None
    missing: str | None


class Revocation(Told):
    since: Count
    entry: Count
    reason: str
    first_entry: Count | None = None


class KeyTold(Told):
    role: Literal["entry", "log"]
    keyid: str
    since: Count
    until: Count | None
    state: Literal["in force", "retired", "revoked"]
    revoked: Revocation | None


class Keys(Told):
    keys: list[KeyTold]


class ApiKeyTold(Told):
    """Without what it is checked by. `state`: valid, revoked or expired. `tools`: globs, where it is for some tools only."""

    id: str
    principal: str
    actors: list[str]
    roles: list[str]
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    state: str
    tools: list[str] | None = None


class ApiKeys(Told):
    keys: list[ApiKeyTold]


class ApiKeyMade(Told):
    id: str


class ApiKeyRevoked(Told):
    id: str
    revoked_at: str | None


class LogHead(Told):
    size: Count
    root: Digest


class EntryTold(Told):
    """`entry`: base64 of the stored bytes. `leaf`: the stored leaf hash. Neither is checked here: the reader does that."""

    index: Count
    entry: str
    leaf: str


class EntriesPage(Told):
    """`next`: the `start` of the next page; null: this is the last one now."""

    entries: list[EntryTold]
    next: Count | None


class CheckpointTold(Told):
    size: int
    note: str


class CheckpointsPage(Told):
    checkpoints: list[CheckpointTold]
    next: Count | None


class AnchorTold(Told):
    size: Count
    kind: str
    who: str
    at: str
    proof: Annotated[str, Field(description="Base64.")]


class AnchoredTold(Told):
    note: str
    anchors: list[AnchorTold]


class AnchoredPage(Told):
    """Newest first. `next`: the `below` of the next page."""

    anchored: list[AnchoredTold]
    next: Count | None


class StoredValues(Told):
    values: JsonObject | None


class Erased(Told):
    index: Count
    keys: list[int]
    rows: Count
    requests: Count


class OpenApiDocument(Told):
    openapi: str
    info: dict[str, Any]
    paths: dict[str, Any]
