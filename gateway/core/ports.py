"""The boundaries of the pipeline. Above stand the rules (`pipeline.py`), below the adapters; `wiring/` joins them.

Every port fails closed: an adapter that cannot keep its promise raises a `GatewayError`, and the call does not run.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from gateway.core.anchor import Anchor, AnchoredCheckpoint
from gateway.core.approval import ApprovalRequest, Grant
from gateway.core.call import Compensated, SealedCall
from gateway.core.catalog import Catalog
from gateway.core.circumstances import Circumstances
from gateway.core.conversation import Conversation
from gateway.core.decision import PolicyDecision
from gateway.core.envelope import Ending, Refusal, Replay
from gateway.core.flow import Flow
from gateway.core.outcome import Reason, Receipt
from gateway.core.reply import UpstreamReply
from gateway.core.reservation import Reservation
from gateway.core.tiles import TileName
from gateway.core.verify import StoredEntry


class Clock(Protocol):
    """Implementations: `adapters.clock.SystemClock`."""

    def now(self) -> str:
        """RFC 3339 UTC with milliseconds, `2026-11-22T10:00:00.000Z`: sorts as text."""

    def later(self, seconds: float) -> str:
        """`now` that many seconds ahead."""

    def new_id(self) -> str:
        """A fresh UUIDv7."""

    def monotonic(self) -> float:
        """Seconds, for durations."""


class CatalogSource(Protocol):
    """The tools as they are now. Implementations: `adapters.catalogue.Catalogue`."""

    def current(self) -> Catalog:
        """The catalogue in force; never blocks."""


class PolicyEngine(Protocol):
    """Decides sealed calls with Rego. Implementations: `adapters.policy.embedded`, `adapters.policy.opa`.

    `decide` never raises for a policy's fault: undefined, an error and an overrun of the deadline are a deny with
    `policy.error`. It answers within its deadline.
    """

    async def decide(self, call: SealedCall, around: Circumstances) -> PolicyDecision:
        """The decision on one call, in its circumstances."""


class Journal(Protocol):
    """Idempotency, approvals and log in one transaction each. Implementations: `adapters.store.sqlite`.

    What a method returned is durable. A method that raises has promised nothing, and the call must not go on.
    For one key at most one call holds `Held` or `Resumed` at a time, until it is released. What a call meets under its key
    is decided in `core/reservation.py`. A call that undoes another holds that one's key as well.
    """

    def compensated(self, call: SealedCall) -> Compensated | None:
        """The call that this one says it undoes, as far as the same caller made it; None where it undoes none."""

    def flow(self, call: SealedCall) -> Flow:
        """The state of the call's run, as far as it is durable."""

    async def register_intent(self, call: SealedCall) -> Reason | None:
        """Keep that the call's run is for this intent; why it cannot be kept. Nothing to do for a call without one."""

    async def reserve(self, call: SealedCall, decision: PolicyDecision, ask: ApprovalRequest | None) -> Reservation:
        """Claim the call's key. `ask` is the request to file where policy wants a person and none was filed yet.

        `Instead`: a person changed the call that waits under the key; it is for the caller to decide that one.
        """

    async def begin(self, grant: Grant, decided_on: Flow | None = None) -> None:
        """Before the first byte goes upstream: intent, consumption of the approval and state `started`, durable.

        The effect is counted in its run's state. Nothing to do for a call that needs no intent.

        Args:
            decided_on: the state of the run that the decision stood on; None: it stood on none

        Raises:
            ApprovalSpent: another call consumed the approval first.
            FlowChanged: the run became stricter after the decision. The call may be decided anew.
        """

    async def finish(self, grant: Grant, ending: Ending, duration_ms: int) -> Receipt:
        """The outcome, the stored result and its disclosure, durable; with them, that the run has read it."""

    async def refuse(self, refusal: Refusal) -> Receipt:
        """The record of a call that did not run."""

    async def replay(self, replay: Replay) -> Receipt:
        """The record of a stored result handed out again; with it, that the run has read it."""

    def release(self, call: SealedCall) -> None:
        """Let go of the key that `call` holds, if it holds one: it ended, or will not begin. Duplicates go on."""


class Executor(Protocol):
    """Runs granted calls at upstreams. Implementations: `adapters.upstream.Upstreams`."""

    async def ready(self, grant: Grant) -> Reason | None:
        """Why the call cannot be sent now: its upstream is down, lists another definition, or may not get such fields."""

    async def run(self, grant: Grant, conversation: Conversation) -> UpstreamReply:
        """Send the call once and wait for its end, within the upstream's deadline. Never retries, never raises.

        The upstream may talk with the caller meanwhile. The time that the caller takes to answer it is not the upstream's.
        A call of a capability that asks the client goes to `conversation.answer`, and to no upstream.
        """


class SealingKey(Protocol):
    """A subject's key in memory; it is durable. Waits for nothing. Implementations: `adapters.vault.SubjectKey`."""

    def seal(self, data: bytes, context: bytes) -> bytes:
        """AES-256-GCM of `data` bound to `context`. Begins with the key's number, 4 bytes."""


class OpeningKeys(Protocol):
    """A subject's keys in memory. Waits for nothing. Implementations: `adapters.vault.SubjectKeys`."""

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """What was sealed. Raises `Erased` where the key was destroyed, `KeyFault` where the bytes were changed."""


class VaultFile(Protocol):
    """The vault for a command, which has nothing else to do meanwhile. Implementations: `adapters.vault.FileVault`."""

    def keys(self, subject: str) -> OpeningKeys:
        """The keys of stored values. Waits for the disk. Raises `StoreFault`."""


class Vault(Protocol):
    """Keys of what may be erased later, one or more per subject. Implementations: `adapters.vault.VaultThread`.

    The event loop goes on while a method waits for a disk. All raise `StoreFault` where it fails, `Overloaded` where too
    much waits for it.
    """

    async def sealing_key(self, subject: str) -> SealingKey:
        """The key for new values; made, durably, on first use: one, however many ask at once."""

    async def keys(self, subject: str) -> OpeningKeys:
        """The keys of stored values. None is made."""

    async def knows(self, subject: str) -> bool:
        """Whether anything was ever sealed for the subject."""

    async def numbers(self, subject: str) -> list[int]:
        """The numbers of the subject's keys that were not destroyed."""

    async def destroy(self, subject: str, numbers: list[int]) -> None:
        """Destroy these keys, durably; what is sealed later is sealed under a key with another number."""


class LogReader(Protocol):
    """The log as stored. Implementations: `adapters.store.sqlite.reader`, `adapters.daemon.DaemonLog`,
    `adapters.static_log`."""

    def entries(self, start: int = 0) -> Iterator[StoredEntry]:
        """Rows from `start` on, in order."""

    def entries_naming(self, text: str) -> Iterator[StoredEntry]:
        """Rows whose payload holds `text`, such as an envelope id, and perhaps a few others: for the caller to look at."""

    def checkpoints(self) -> Iterator[tuple[int, str]]:
        """Stored checkpoints as (size, signed note)."""

    def checkpoint(self, *, cosigned: bool = False) -> str | None:
        """The newest checkpoint, or the newest that a witness cosigned, with the cosignatures that are kept for it."""

    def anchored(self) -> Iterator[AnchoredCheckpoint]:
        """Checkpoints that witnesses cosigned or that were stamped, newest first."""

    def tile(self, name: TileName) -> bytes | None:
        """A tile or an entry bundle; None where the log is not that long."""

    def head(self) -> tuple[int, bytes]:
        """Size and root as the store has them."""


class AnchorStore(Protocol):
    """The log as who anchors it needs it: roots, proofs, and a place for anchors. Implementations:
    `adapters.store.sqlite.anchors`."""

    def size(self) -> int:
        """How many entries are committed."""

    def root_at(self, size: int) -> bytes:
        """The root of the first `size` entries, of at least so many."""

    def consistency(self, old: int, new: int) -> list[bytes]:
        """The proof that the tree of `new` entries begins with that of `old` entries."""

    def newest_checkpoint(self) -> str | None:
        """The newest signed checkpoint, without cosignatures. It has the form of one."""

    def anchors(self, size: int) -> list[Anchor]:
        """What is kept for the checkpoint of `size`."""

    def cosigned(self) -> dict[str, int]:
        """The size that each witness cosigned last, by the id of its key."""

    async def keep(self, anchors: Sequence[Anchor]) -> None:
        """Store them, durably."""


class Observer(Protocol):
    """Told how long each step took. Implementations: `adapters.observer` (none, timings)."""

    def step(self, name: str) -> AbstractContextManager[None]:
        """Measure one step of one call."""
