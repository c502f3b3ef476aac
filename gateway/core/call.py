"""The sealed call: one tool call as it will run, frozen.

`arguments` are canonical bytes. What policy sees, what is digested, what a person approves and what is sent upstream are
these bytes and nothing else, so none of them can differ. The call digest covers tenant, principal chain, capability id,
definition digest, arguments, idempotency scope and key, and the call that this one undoes: no id of its own, no times or
trace, so that a retry has the same digest.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway.core.canonical import NotCanonical, canonical
from gateway.core.capability import Capability, IdempotencyRule
from gateway.core.commitment import SALT_BYTES, CommitmentKey, Disclosure, disclose
from gateway.core.evidence import EvidenceRef
from gateway.core.fields import BadField, FieldRole, read_fields
from gateway.core.flow import scope_of
from gateway.core.hidden import Hidden, hidden_values
from gateway.core.intent import Intent
from gateway.core.method import Method
from gateway.core.outcome import Reason
from gateway.core.redaction import SENSITIVE, Redacted, Redaction, hidden_result, moved_pointers, redacted_text
from gateway.core.run_context import RunContext
from gateway.core.wire import MAX_SAFE_INTEGER

INEXACT = Reason("arguments.invalid", "A number is beyond ±(2^53−1), where integers are not exact; send it as a string.")

MAX_COMMITMENTS = 64
MAX_NAME_BYTES = 8 * 1024  # of an entry's 47 KiB
PRINCIPAL_WINDOW_SECONDS = 120
RUN_WINDOW_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """A call as it came in, parsed: nothing decided yet. `requested_at` is RFC 3339 UTC. `name`: the capability's id.

    `compensates`: the envelope id of the call that this one undoes. `intent`: what the caller says its run is for.
    `cites`: the evidence refs of results that the call stands on.
    """

    envelope_id: str
    name: str
    arguments: dict[str, Any]
    idempotency_key: str | None
    requested_at: str
    compensates: str | None = None
    intent: Intent | None = None
    cites: tuple[str, ...] = ()
    method: Method = Method.TOOL


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """Where this call's effect is counted.

    `reservation` is unique per tenant, principal chain, capability and key. `window_seconds` bounds how long a derived key
    stands for the same call: within a run the client declared a day, else two minutes, since the same call made again
    may be meant. None: as long as results are kept.
    """

    reservation: str
    commitment: str
    scope: str
    derived: bool
    window_seconds: int | None


@dataclass(frozen=True, slots=True)
class SealedCall:
    """See the module. `fingerprint` compares arguments under one key; both it and `call_digest` are keyed digests.

    `redacted_arguments` are set where the arguments hold something that must not be stored, and `moved_pointers` tells which
    places have another pointer in them; `repeated` are the sensitive values that must not be stored with the result either.
    `hidden` tells what the schema's marks hide of the arguments, `secrets` which kinds of known secrets are in them.
    `fields` are the values of the declared fields, in the one form that policy compares and the guards check. `scope` names
    the memory of its run (`flow.py`); `intent` commits to the intent that came with the call; `cited` is the evidence it
    stands on. `modified_from`: the envelope id of the call as the caller made it, where its arguments were changed; its key
    and fingerprint are still that one's, since it is what became of that one, and its call digest is that of what runs.
    `changed_in`: the approval request whose arguments it has, where a person changed them.
    """

    envelope_id: str
    run: RunContext
    capability: Capability
    arguments: bytes
    disclosures: tuple[Disclosure, ...]
    idempotency: IdempotencyKey | None
    fingerprint: str
    call_digest: str
    requested_at: str
    compensates: str | None = None
    redacted_arguments: bytes | None = None
    moved_pointers: Mapping[str, str] = field(default_factory=dict, repr=False)
    repeated: tuple[str, ...] = field(default=(), repr=False)
    hidden: tuple[Hidden, ...] = ()
    secrets: tuple[str, ...] = ()
    fields: Mapping[FieldRole, list[Any]] = field(default_factory=dict, repr=False)
    scope: str = ""
    intent: str | None = None
    cited: tuple[EvidenceRef, ...] = ()
    modified_from: str | None = None
    changed_in: str | None = None

    @property
    def shown_arguments(self) -> bytes:
        """The arguments as they may be stored and shown to approvers: canonical bytes, secrets redacted."""
        return self.arguments if self.redacted_arguments is None else self.redacted_arguments

    def told(self, text: str) -> str:
        """A text about the call, without its sensitive values and without secrets."""
        return redacted_text(text, self.repeated)

    @property
    def subject(self) -> str:
        """Whose data the arguments and the result are, `tenant/principal`: the caller's, but for a question about a call."""
        return self.run.about or self.run.subject


@dataclass(frozen=True, slots=True)
class Compensated:
    """The call that another one undoes, as policies and approvers are told of it.

    Its tool and digest are those of its own entries; None where the caller made no call with an effect under that id.
    """

    envelope_id: str
    capability_id: str | None = None
    call_digest: str | None = None

    def document(self) -> dict[str, str]:
        """What is known, by name."""
        told = {"envelope_id": self.envelope_id, "capability_id": self.capability_id, "call_digest": self.call_digest}
        return {name: text for name, text in told.items() if text is not None}


@dataclass(frozen=True, slots=True)
class ToldResult:
    """The result of a lost call as somebody else told it: the commitment to it, and whether it is the tool's own error."""

    disclosure: Disclosure
    is_error: bool


@dataclass(frozen=True, slots=True)
class Covered:
    """What a call digest covers beside the arguments. `reservation` is the idempotency key's: scope and key are in it."""

    tenant_id: str
    principal_chain: Sequence[str]
    capability_id: str
    definition_digest: str
    reservation: str | None
    compensates: str | None = None


@dataclass(frozen=True, slots=True)
class Fitting:
    """Arguments that fit a pinned schema: their canonical bytes, and the values of the declared fields in their one form."""

    arguments: bytes
    fields: Mapping[FieldRole, list[Any]]


def fitting(capability: Capability, arguments: dict[str, Any]) -> Fitting | tuple[Reason, ...]:
    """The arguments of a call of this tool, or why they can be none."""
    problems = capability.schema.problems(arguments)
    if problems:
        return tuple(Reason("arguments.invalid", problem) for problem in problems)
    if _has_inexact_integer(arguments):
        return (INEXACT,)
    try:
        data = canonical(arguments)
    except NotCanonical as error:
        return (Reason("arguments.invalid", f"arguments have no canonical form: {error}"),)
    fields = read_fields(arguments, capability.classification.fields)
    if isinstance(fields, BadField):
        return (Reason(f"arguments.{fields.role}", f"The argument at {fields.pointer} cannot be used: {fields.why}."),)
    return Fitting(data, fields)


class Sealer:
    """Turns a request into a SealedCall, or says why it cannot be one."""

    def __init__(self, key: CommitmentKey, random: Callable[[int], bytes]) -> None:
        self._key = key
        self._random = random
        self._tenants: dict[str, CommitmentKey] = {}
        self._redactions: dict[str, Redaction] = {}

    def seal(
        self, run: RunContext, capability: Capability, request: ToolRequest, *, instead_of: SealedCall | None = None
    ) -> SealedCall | tuple[Reason, ...]:
        """Validate against the pinned schema, canonicalise, commit, derive the key, digest.

        `instead_of`: the call as the caller made it, whose arguments somebody changed to these.
        """
        fit = fitting(capability, request.arguments)
        if not isinstance(fit, Fitting):
            return fit
        arguments = fit.arguments
        if request.compensates is not None and not capability.mode.has_effect:
            return (Reason("compensation.no_effect", "A read_only tool has no effect, so it can undo none."),)
        done = _done(arguments, request.compensates)
        key = self._tenant(run.tenant_id)
        idempotency, fingerprint = _idempotency(key, run, capability, request.idempotency_key, done), _fingerprint(key, done)
        if instead_of is not None:
            idempotency, fingerprint = instead_of.idempotency, instead_of.fingerprint
        if idempotency is None and capability.classification.idempotency is IdempotencyRule.REQUIRED:
            return (
                Reason(
                    "idempotency.key_required",
                    'This tool needs a key of yours: send _meta["dev.sealgate/idempotency-key"], the same on every retry.',
                ),
            )
        covered = Covered(
            run.tenant_id,
            run.principal_chain,
            capability.id,
            capability.definition.digest,
            None if idempotency is None else idempotency.reservation,
            request.compensates,
        )
        call_digest = self.call_digest(covered, arguments)
        redaction = self._redaction(capability)
        redacted = redaction.of_arguments(request.arguments, arguments)
        return SealedCall(
            envelope_id=request.envelope_id,
            run=run,
            capability=capability,
            arguments=arguments,
            disclosures=self._disclose(capability, request.arguments, arguments, redacted),
            idempotency=idempotency,
            fingerprint=fingerprint,
            call_digest=call_digest,
            requested_at=request.requested_at,
            compensates=request.compensates,
            redacted_arguments=None if redacted is None else canonical(redacted.value),
            moved_pointers={} if redacted is None else moved_pointers(request.arguments, redacted.value),
            repeated=redaction.repeated_values(request.arguments),
            hidden=hidden_values(redaction.hidden_places(request.arguments), key, call_digest),
            secrets=() if redacted is None else tuple(kind for kind in redacted.kinds if kind != SENSITIVE),
            fields=fit.fields,
            scope=scope_of(key, run, asks_client=capability.method.asks_client),
            intent=None if request.intent is None else key.digest("intent", request.intent.document),
            modified_from=None if instead_of is None else instead_of.envelope_id,
        )

    def call_digest(self, covered: Covered, arguments: bytes) -> str:
        """The digest of a call with these canonical arguments."""
        document = {
            "arguments": orjson.Fragment(_done(arguments, covered.compensates)),
            "capability": covered.capability_id,
            "chain": list(covered.principal_chain),
            "definition": covered.definition_digest,
            "key": covered.reservation,
            "tenant": covered.tenant_id,
        }
        return self._tenant(covered.tenant_id).digest("call", orjson.dumps(document))

    def stores_whole(self, capability: Capability, arguments: dict[str, Any]) -> bool:
        """Whether these arguments, which fit the tool, may be stored just as they are."""
        return self._redaction(capability).of_arguments(arguments, canonical(arguments)) is None

    def disclose_result(self, call: SealedCall, document: dict[str, Any]) -> Disclosure:
        """Commit to the result of `call`. Raises `NotCanonical` where it has no canonical form."""
        result = canonical(document)
        redacted = self._redaction(call.capability).of_result(document, result, call.repeated)
        return disclose("result", result, self._random(SALT_BYTES), redacted)

    def disclose_told_result(self, definition: dict[str, Any] | None, document: dict[str, Any]) -> ToldResult:
        """Commit to the result of a lost call, told by somebody else. None: its tool's definition is not there any more.

        Raises `NotCanonical`.
        """
        result = canonical(document)
        if definition is None:
            redacted: Redacted | None = hidden_result(document)
        else:
            redacted = Redaction.of_definition(definition).of_told_result(document, result)
        return ToldResult(disclose("result", result, self._random(SALT_BYTES), redacted), document.get("isError") is True)

    def _tenant(self, tenant_id: str) -> CommitmentKey:
        key = self._tenants.get(tenant_id)
        if key is None:
            key = self._tenants[tenant_id] = self._key.for_tenant(tenant_id)
        return key

    def _redaction(self, capability: Capability) -> Redaction:
        """What the pinned definition marks. Definitions are few: each was approved by a person."""
        redaction = self._redactions.get(capability.definition.digest)
        if redaction is None:
            redaction = Redaction.of_definition(capability.definition.document)
            self._redactions[capability.definition.digest] = redaction
        return redaction

    def _disclose(
        self, capability: Capability, arguments: dict[str, Any], canonical_arguments: bytes, redacted: Redacted | None
    ) -> tuple[Disclosure, ...]:
        """One commitment per argument; a single one where a name is not the schema's own: a name may be data, too.

        Also where the names would fill the entry.
        """
        declared = capability.definition.document["inputSchema"].get("properties", {})
        too_many = len(arguments) > MAX_COMMITMENTS or len(orjson.dumps(list(arguments))) > MAX_NAME_BYTES
        if too_many or not arguments.keys() <= declared.keys():
            return (disclose("*", canonical_arguments, self._random(SALT_BYTES), redacted),)
        if len(arguments) == 1:  # its canonical value stands in {"name":value}
            (name,) = arguments
            value = canonical_arguments[len(canonical(name)) + 2 : -1]
            part = self._part(capability, name, arguments[name], redacted)
            return (disclose(name, value, self._random(SALT_BYTES), part),)
        return tuple(
            disclose(name, canonical(value), self._random(SALT_BYTES), self._part(capability, name, value, redacted))
            for name, value in sorted(arguments.items())
        )

    def _part(self, capability: Capability, name: str, value: Any, redacted: Redacted | None) -> Redacted | None:
        return None if redacted is None else self._redaction(capability).of_argument(name, value)


def _done(arguments: bytes, compensates: str | None) -> bytes:
    """What is done, as far as the caller says it."""
    return arguments if compensates is None else orjson.dumps([compensates, orjson.Fragment(arguments)])


def _fingerprint(key: CommitmentKey, done: bytes) -> str:
    return key.digest("fingerprint", done)


def _has_inexact_integer(document: Any) -> bool:
    """Whether a float is written as an integer beyond ±(2^53−1) in canonical form: from 1e21 on it has an exponent again."""
    if isinstance(document, float):
        return MAX_SAFE_INTEGER < abs(document) < 1e21
    if isinstance(document, dict):
        return any(_has_inexact_integer(value) for value in document.values())
    return isinstance(document, list) and any(_has_inexact_integer(value) for value in document)


def _idempotency(
    key: CommitmentKey, run: RunContext, capability: Capability, given: str | None, done: bytes
) -> IdempotencyKey | None:
    scope = [run.tenant_id, run.principal_chain, capability.id]
    if given is not None:
        reservation = key.digest("reservation", orjson.dumps([*scope, "client", given]))
        return IdempotencyKey(reservation, key.digest("idempotency-key", given.encode()), "client", False, None)
    rule = capability.classification.idempotency
    if rule is IdempotencyRule.REQUIRED or (rule is IdempotencyRule.NONE and not capability.mode.has_effect):
        return None
    window = RUN_WINDOW_SECONDS if run.run_id else PRINCIPAL_WINDOW_SECONDS
    within = "run" if run.run_id else "principal"
    derived = orjson.dumps([*scope, within, run.run_id, orjson.Fragment(done)])
    return IdempotencyKey(key.digest("reservation", derived), key.digest("idempotency-key", derived), within, True, window)
