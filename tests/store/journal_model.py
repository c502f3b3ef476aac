"""What each idempotency key stands for, as the design says it: the model that the journal is held against.

It shares no rule with the code: a dictionary of keys, and a list of the calls that had their effect.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gateway.core.approval import ApprovalRequest
from tests.core.calls import Call, envelope_id
from tests.store.clock import SetClock


@dataclass(eq=False)
class Done:
    """The model of one call that took its key. `values`: what is stored of it: kept, erased or dropped."""

    number: int
    key: tuple[Any, ...]
    said: str
    state: str = "started"
    at: str = ""
    result: dict[str, Any] | None = None
    resolved_by: str | None = None
    values: str = "kept"
    undoes: "Done | None" = None
    undone_by: int | None = None


@dataclass(eq=False)
class Question:
    """The model of one approval request."""

    request: ApprovalRequest
    said: str
    state: str = "pending"


@dataclass
class Slot:
    """The model of one key: the last call under it, or the question it waits for."""

    call: Done | None = None
    question: Question | None = None


@dataclass
class Model:
    """All keys and calls. `stored`: something was stored since the last erasure."""

    clock: SetClock
    slots: dict[tuple[Any, ...], Slot] = field(default_factory=dict)
    calls: list[Done] = field(default_factory=list)
    effects: Counter[str] = field(default_factory=Counter)
    stored: bool = False

    def expected(self, call: Call, said: str, *, asks: bool) -> str:
        """What the call meets. A question that ended, or that is no longer the question, is taken off its key."""
        slot = self.slot(call)
        question, held = slot.question, slot.call
        if question is not None:
            over = self.is_over(question)
            if question.said != said:
                if question.state in ("pending", "approved") and not over:
                    return "mismatch"
                slot.question = None
            elif over or question.state in ("rejected", "expired"):
                return "not approved"
            elif not asks:
                slot.question = None
            elif question.state == "pending":
                return "waiting"
            else:
                slot.question = None
                return "not compensable" if self.refused(call) else "runs"
        elif held is not None and not self.is_free(held):
            if held.said != said:
                return "mismatch"
            if held.state == "doubt":
                return "lost"
            if held.state in ("undoing", "undone"):
                return "undone"
            return "prior" if held.result is not None else "gone"
        if self.refused(call):
            return "not compensable"
        return "asks" if asks else "runs"

    def took(self, call: Call, said: str) -> None:
        """The call has its key and its effect."""
        undoes = self.find(call.compensates)
        made = Done(call.envelope, self.key(call), said, undoes=undoes)
        self.calls.append(made)
        self.effects.update([said])
        self.slot(call).call, self.slot(call).question = made, None
        self.stored = True
        if undoes is not None:
            undoes.state, undoes.undone_by = "undoing", call.envelope

    def ended(self, call: Call, said: str, end: str, result: dict[str, Any]) -> None:
        made = self.slot(call).call
        assert made is not None
        made.at = self.clock.now()
        derived_error = end == "error" and call.key is None
        states = {"not done": "failed", "unknown": "doubt", "killed": "doubt"}
        made.state = "failed" if derived_error else states.get(end, "done")
        if end in ("done", "error"):
            made.result = result
        if made.state != "doubt":
            self.settle(made, done=end == "done")

    def settle(self, call: Done, *, done: bool) -> None:
        """What the end of this call means for the one it undoes."""
        if call.undoes is not None and call.undoes.undone_by == call.number:
            call.undoes.state = "undone" if done else "done"
            call.undoes.undone_by = call.number if done else None

    def refused(self, call: Call) -> bool:
        """Whether the call wants to undo what cannot be undone."""
        if call.compensates is None:
            return False
        target = self.find(call.compensates)
        return target is None or target.state != "done"

    def is_free(self, held: Done) -> bool:
        if held.state == "failed":
            return True
        derived = held.key[1] is None
        age = _seconds(self.clock.now()) - _seconds(held.at) if held.at else 0
        return derived and held.state in ("done", "undone") and age > 120

    def is_over(self, question: Question) -> bool:
        return question.state in ("pending", "approved") and self.clock.now() >= question.request.expires_at

    def key(self, call: Call) -> tuple[Any, ...]:
        return (call.tool, call.key, call.arguments["text"] if call.key is None else None)

    def slot(self, call: Call) -> Slot:
        return self.slots.setdefault(self.key(call), Slot())

    def questions(self, state: str) -> list[Question]:
        found = [slot.question for slot in self.slots.values() if slot.question is not None]
        return [question for question in found if question.state == state]

    def doubts(self) -> list[Done]:
        return [call for call in self.calls if call.state == "doubt"]

    def find(self, envelope: str | None) -> Done | None:
        """The call of that envelope id, if there was one."""
        return next((call for call in self.calls if envelope_id(call.number) == envelope), None)

    def drop(self, before: int) -> int:
        """The values of older calls go; of how many."""
        old = [call for call in self.calls if call.number < before and call.values != "dropped"]
        for call in old:
            call.result, call.values = None, "dropped"
        return len(old)

    def erase(self) -> None:
        """What is stored of the subject becomes unreadable; nobody can be asked about it any more."""
        self.stored = False
        for call in self.calls:
            if call.values == "kept":
                call.result, call.values = None, "erased"
        for slot in self.slots.values():
            if slot.question is not None and slot.question.state == "pending":
                slot.question = None


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
