"""What policy is told about a call beside the call itself: what came before it, and where its arguments come from.

All of it is the gateway's own knowledge. Nothing here is a client's word but the intent, and that can only narrow.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gateway.core.call import Compensated
from gateway.core.fields import FieldRole


class Origin(StrEnum):
    """Where the value of an argument was seen before. A value may have several origins, or none: it is then unknown."""

    INTENT = "intent"
    DEFINITION = "definition"
    TRUSTED = "trusted"
    UNTRUSTED = "untrusted"


@dataclass(frozen=True, slots=True)
class Leaf:
    """One string, number, boolean, null, empty object or empty list among the arguments, by its JSON pointer."""

    pointer: str
    role: FieldRole | None
    origins: frozenset[Origin]

    def document(self) -> dict[str, Any]:
        """As policy sees it; no value in it."""
        return {"pointer": self.pointer, "role": self.role, "origins": sorted(self.origins)}


@dataclass(frozen=True, slots=True)
class Provenance:
    """`tainted`: the run has read a result that is not to be believed. `complete`: every leaf is listed.

    Leaves are listed for calls with an effect only. An origin is stated only where it is certain, so what the gateway
    forgot is no origin.
    """

    tainted: bool = False
    complete: bool = True
    leaves: tuple[Leaf, ...] = ()

    def document(self) -> dict[str, Any]:
        """As policy sees it."""
        leaves = [leaf.document() for leaf in self.leaves]
        return {"tainted": self.tainted, "complete": self.complete, "leaves": leaves}


@dataclass(frozen=True, slots=True)
class IntentTold:
    """What the run registered that it is for. `tools` None: its task's text only. `fulfilled`: its constraints hold."""

    tools: tuple[str, ...] | None
    fulfilled: bool

    def document(self) -> dict[str, Any]:
        """As policy sees it."""
        return {"tools": self.tools, "fulfilled": self.fulfilled}


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What came before one call.

    Attributes:
        recent_calls: the principal's calls of the last minute
        compensated: the call that this one undoes, if it undoes one
        run_calls: earlier calls of the run, or of the caller where there is no run; counted in memory, so that after a
            restart only those with an effect are known
        run_effects: how many effects it had, or may have had; counted in the journal
        cited: the trust levels of the evidence that the call cites, one for each citation of this run's own results
    """

    recent_calls: int = 0
    compensated: Compensated | None = None
    run_calls: int = 0
    run_effects: int = 0
    provenance: Provenance = Provenance()
    intent: IntentTold | None = None
    cited: tuple[str, ...] = ()
