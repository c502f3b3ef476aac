"""The durable state of one run: has it read what is not to be believed, how many effects it had, what it said it is for.

A run here is the widest thing that one memory belongs to: the run the client declared, else its handshake session, else the
principal; always within one tenant and principal. A restart must not make a tainted run look clean, so this is kept in the
journal, each change in the transaction of the entry that tells of its cause. It only ever becomes stricter.
"""

from dataclasses import dataclass

import orjson

from gateway.core.commitment import CommitmentKey
from gateway.core.outcome import Reason
from gateway.core.run_context import RunContext

LATE = Reason(
    "intent.late",
    "This run has read an untrusted result already, so what it is for can no longer be told. Start a new run.",
)
CHANGED = Reason("intent.changed", "This run registered another intent before. Send that one, or start a new run.")
NO_RUN = Reason(
    "intent.no_run",
    'An intent belongs to a run: send _meta["dev.sealgate/run"] with a run_id, or use a session.',
)


@dataclass(frozen=True, slots=True)
class Flow:
    """See the module. `intent` is a keyed commitment to what was registered; `effects` counts calls that were begun."""

    tainted: bool = False
    effects: int = 0
    intent: str | None = None

    def is_as_strict_as(self, now: "Flow") -> bool:
        """Whether a decision on this state still holds in the state of `now`."""
        return (self.tainted, self.intent) == (now.tainted, now.intent)

    def why_not(self, intent: str) -> Reason | None:
        """Why this intent cannot be registered; None where it can, or was."""
        if self.intent is not None:
            return None if self.intent == intent else CHANGED
        return LATE if self.tainted else None


MOST_CHANGES = 2
"""How often the state of a run can change what a decision stands on: it becomes tainted, it registers its intent."""


def has_run(run: RunContext) -> bool:
    """Whether the memory is a run's or a session's own, and not the principal's."""
    return run.run_id is not None or run.session_id is not None


def scope_of(key: CommitmentKey, run: RunContext) -> str:
    """The name of the memory that a call belongs to: a digest under the tenant's key, since a run's name may tell things."""
    if run.run_id is not None:
        named = ["run", run.run_id]
    elif run.session_id is not None:
        named = ["session", run.session_id]
    else:
        named = ["principal"]
    return key.digest("flow", orjson.dumps([str(run.principal), *named]))
