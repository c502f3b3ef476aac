"""What an entry says of a call, an approval or a run: the state that its row in the journal must be in.

The journal's tables decide whether an effect may run. They are no evidence, and someone with the file can change them; the
log cannot be changed unseen. `state check` reads the log through this and holds the tables against it.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.core.capability import ApprovalMode, TrustLevel
from gateway.core.entry import Entry, Kind, part
from gateway.core.envelope import Status
from gateway.core.idempotency import State
from gateway.core.requests import Step, step_in

APPROVAL_FIELDS = (
    "approval_id",
    "approve_for",
    "call_digest",
    "capability_id",
    "compensates",
    "envelope_id",
    "expires_at",
    "mode",
    "modified_from",
    "policy_revision",
    "principal_chain",
    "quorum",
    "required_approver",
    "routes",
    "run_id",
    "tenant_id",
)
"""Of a request, what decides who may answer it, until when, and for which call."""


@dataclass(frozen=True, slots=True)
class KeyTold:
    """The idempotency key of a call. Two calls with one `identity` share one effect.

    `reservation` is the name of the key's row; None in entries of schema 1, which do not state it.
    """

    identity: str
    reservation: str | None
    derived: bool


@dataclass(frozen=True, slots=True)
class CallTold:
    """The call of `envelope_id` is in this state now. What an entry does not repeat is None; `commitment`: to its result."""

    envelope_id: str
    state: State
    key: KeyTold | None = None
    call_digest: str | None = None
    capability_id: str | None = None
    principal_chain: tuple[str, ...] = ()
    reason: str | None = None
    commitment: str | None = None
    undone_by: str | None = None


@dataclass(frozen=True, slots=True)
class RefusalTold:
    """The call of `envelope_id` did not run, and met this key."""

    envelope_id: str
    key: KeyTold


@dataclass(frozen=True, slots=True)
class ApprovalTold:
    """The request took this step; `asked` is a digest of `APPROVAL_FIELDS` where the entry repeats them."""

    approval_id: str
    step: Step
    asked: str | None = None


@dataclass(frozen=True, slots=True)
class ErasureTold:
    """What was stored of the subject by now is unreadable."""

    subject: str


@dataclass(frozen=True, slots=True)
class FlowTold:
    """What the run of this scope (`flow.py`) had by this entry: an untrusted result, the beginning of an effect, an intent.

    `fades`: it is a caller without a run, whose taint ends some day. `subject`: whose, `tenant/principal`.
    """

    scope: str
    subject: str
    fades: bool
    tainted: bool
    effect: bool
    intent: str | None


Told = CallTold | RefusalTold | ApprovalTold | ErasureTold | FlowTold

_COMPENSATIONS = {"started": State.COMPENSATING, "completed": State.COMPENSATED, "failed": State.COMPLETED}


def told(entry: Entry) -> Iterator[Told]:
    """What a verified entry says of rows. Parts of another form than ours say nothing."""
    said = entry.predicate
    key = _key(said)
    if entry.kind in (Kind.INTENT, Kind.OUTCOME, Kind.IN_DOUBT):  # a call that was denied changed no run, for all it says
        yield from _flow(entry)
    match entry.kind:
        case Kind.INTENT:
            yield _call(entry, State.STARTED, key)
            used = step_in(entry)
            if used is not None:
                yield ApprovalTold(*used)
        case Kind.IN_DOUBT:
            yield _call(entry, State.IN_DOUBT, key)
        case Kind.OUTCOME:
            state = _end(said, key)
            if state is not None:
                yield _call(entry, state, key)
        case Kind.DENIED if key is not None:
            yield RefusalTold(entry.id, key)
        case Kind.RESOLUTION:
            verdict = part(said, "resolution")
            if verdict.get("verdict") in (State.COMPLETED, State.FAILED):
                yield CallTold(str(verdict.get("envelope_id")), State(str(verdict["verdict"])))
        case Kind.COMPENSATION:
            link = part(said, "compensation")
            state = _COMPENSATIONS.get(_text(link, "event") or "")
            if state is not None:
                by = None if state is State.COMPLETED else str(link.get("by"))
                yield CallTold(str(link.get("of")), state, undone_by=by)
        case Kind.APPROVAL:
            taken = step_in(entry)
            if taken is not None:
                yield ApprovalTold(*taken, asked_digest(part(said, "approval")))
        case Kind.ERASURE:
            yield ErasureTold(str(part(said, "erasure").get("subject")))
        case _:
            pass


def _flow(entry: Entry) -> Iterator[FlowTold]:
    said = entry.predicate
    scope = _text(said, "flow")
    if scope is not None:
        begun = entry.kind is Kind.INTENT and _text(said, "approval_mode_effective") != ApprovalMode.READ_ONLY
        refs = said.get("evidence_refs")
        read = entry.kind is Kind.OUTCOME and isinstance(refs, list) and any(map(_is_untrusted, refs))
        run = part(said, "run")
        chain = run.get("principal_chain")
        subject = f"{run.get('tenant_id')}/{chain[0] if isinstance(chain, list) and chain else ''}"
        yield FlowTold(scope, subject, _text(run, "run_id") is None, read, begun, _text(said, "intent"))


def _is_untrusted(ref: Any) -> bool:
    """Whether it is a result that the call brought in, and not to be believed."""
    return isinstance(ref, Mapping) and ref.get("use") != "in" and ref.get("trust_level") != TrustLevel.TRUSTED


def asked_digest(request: Mapping[str, Any]) -> str:
    """A digest of what a request asks, from an entry or from the stored request."""
    return _digest([request.get(name) for name in APPROVAL_FIELDS])


def _call(entry: Entry, state: State, key: KeyTold | None) -> CallTold:
    said = entry.predicate
    chain = part(said, "run").get("principal_chain")
    return CallTold(
        entry.id,
        state,
        key,
        _text(part(said, "call"), "call_digest"),
        _text(part(said, "capability"), "capability_id"),
        tuple(map(str, chain)) if isinstance(chain, list) else (),
        _text(part(said, "result"), "reason"),
        _text(part(said, "result"), "commitment"),
    )


def _end(said: Mapping[str, Any], key: KeyTold | None) -> State | None:
    """The state an outcome leaves its row in; None for a replay, which changes none."""
    result = part(said, "result")
    match result.get("status"):
        case Status.COMPLETED if result.get("is_error") is True and key is not None and key.derived:
            return State.FAILED  # docs/decisions/0005
        case Status.COMPLETED:
            return State.COMPLETED
        case Status.FAILED:
            return State.FAILED
        case _:
            return None


def _key(said: Mapping[str, Any]) -> KeyTold | None:
    stated, run = part(said, "idempotency"), part(said, "run")
    if not stated.get("key"):
        return None
    scope = [run.get("tenant_id"), run.get("principal_chain"), part(said, "capability").get("capability_id")]
    identity = _digest([*scope, stated.get("scope"), stated["key"]])
    return KeyTold(identity, _text(stated, "reservation"), stated.get("derived") is True)


def _digest(parts: list[Any]) -> str:
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _text(said: Mapping[str, Any], name: str) -> str | None:
    text = said.get(name)
    return text if isinstance(text, str) else None
