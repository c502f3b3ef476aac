"""The durable state of one run: has it read what is not to be believed, how many effects it had, what it said it is for.

A run here is what one memory belongs to: the run the client declared, else the caller. A caller is the whole chain,
principal and actors, within one tenant: two agents of one user share nothing. A session is no run, since whoever ends it
begins clean. A restart must not make a tainted run look clean, so this is kept in the journal, each change in the
transaction of the entry that tells of its cause. Of a declared run it only ever becomes stricter. A caller that declares
none has no other way to begin anew: its taint ends a day after the last untrusted result.
"""

from dataclasses import dataclass, replace

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
    'An intent belongs to a run: send _meta["dev.sealgate/run"] with a run_id.',
)


@dataclass(frozen=True, slots=True)
class Flow:
    """See the module. `intent` is a keyed commitment to what was registered; `effects` counts calls that were begun.

    `is_kept`: the run was tainted, had an effect or registered an intent at some time, so it is not a new one.
    """

    tainted: bool = False
    effects: int = 0
    intent: str | None = None
    is_kept: bool = False

    def is_as_strict_as(self, now: "Flow") -> bool:
        """Whether a decision on this state still holds in the state of `now`."""
        return (self.tainted, self.intent) == (now.tainted, now.intent)

    def with_intent(self, intent: str | None) -> "Flow":
        """The state once this intent is registered, too."""
        return self if intent is None else replace(self, intent=intent)

    def why_not(self, intent: str) -> Reason | None:
        """Why this intent cannot be registered; None where it can, or was."""
        if self.intent is not None:
            return None if self.intent == intent else CHANGED
        return LATE if self.tainted else None


MOST_CHANGES = 3
"""How often the state of a run may change under a decision: it is tainted, its taint ends, an intent is registered."""

RENEWED_SECONDS = 3600
"""A caller's taint is written anew at most so often."""

FADES_SECONDS = 24 * 3600 + RENEWED_SECONDS
"""So long after it was written last, the taint of a caller without a run ends: at least a day after the last result."""


def has_run(run: RunContext) -> bool:
    """Whether the memory is a run's own, and not the caller's."""
    return run.run_id is not None


def scope_of(key: CommitmentKey, run: RunContext, *, asks_client: bool = False) -> str:
    """The name of the memory that a call belongs to: a digest under the tenant's key, since a run's name may tell things.

    `asks_client`: it is the upstream that asks and reads the answer. What it reads, the run has not read.
    """
    named = ["caller"] if run.run_id is None else ["run", run.run_id]
    if asks_client:
        named.append("asked")
    return key.digest("flow", orjson.dumps([run.principal_chain, *named]))
