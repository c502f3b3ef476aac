"""What the parts of the benchmark say to each other: calls, tasks, and what became of them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call, by the suite's own name of the tool."""

    tool: str
    arguments: dict[str, Any]

    @classmethod
    def read(cls, documents: Iterable[dict[str, Any]]) -> tuple["Call", ...]:
        """From JSON."""
        return tuple(cls(one["tool"], one["arguments"]) for one in documents)

    @property
    def form(self) -> str:
        """One text for calls that are the same to a tool: keys sorted, 4.0 and 4 one number."""
        return orjson.dumps([self.tool, _one_number(self.arguments)], option=orjson.OPT_SORT_KEYS).decode()


def _one_number(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _one_number(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_one_number(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def beyond(executed: Iterable[Call], expected: Iterable[Call]) -> list[Call]:
    """The executed calls that are not among the expected ones; each expected call covers one."""
    left = Counter(call.form for call in expected)
    found = []
    for call in executed:
        if left[call.form]:
            left[call.form] -= 1
        else:
            found.append(call)
    return found


class Side(StrEnum):
    """For whom the agent makes a call."""

    USER = "user"
    ATTACK = "attack"


@dataclass(frozen=True, slots=True)
class Task:
    """A user's task as the agent gets it, and the attack that its worst case obeys; no calls: it is not attacked."""

    prompt: str
    user_calls: tuple[Call, ...]
    attack_calls: tuple[Call, ...]
    answer: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call that the agent tried. `outcome` is the gateway's last word; `why_asked` a person, None where nobody was."""

    side: Side
    call: Call
    outcome: str
    why_asked: tuple[str, ...] | None = None

    @property
    def ran(self) -> bool:
        return self.outcome == "completed"

    @property
    def asked(self) -> bool:
        return self.why_asked is not None


@dataclass(frozen=True, slots=True)
class Run:
    """One task, run once. `executed` is the world's own record; `took_effect` None: nobody attacked."""

    user_task: str
    injection_task: str | None
    utility: bool
    took_effect: bool | None
    attempts: tuple[Attempt, ...]
    executed: tuple[Call, ...]
    user_calls: tuple[Call, ...]
    met_attack: bool
    seconds: float = field(compare=False)
