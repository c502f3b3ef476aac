"""A clock that jumps hours back and forward between and in the middle of calls.

What must hold: a key the client chose stands for one effect whatever the clock says; a derived one for one effect within its
window, by the clock; an approval is good before its expiry and never after, is used once, and stays expired when the clock
goes back; the log verifies and has every receipt. Durations do not come from this clock.
"""

import asyncio
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from faults.audit import Promises, audit_log, call
from faults.inside import Deployment, InsideGateway, Options, deployment, read_log
from faults.tally import Finding, Tally
from faults.world import DESTROY, MUTE, READ, WRITE, World
from gateway.adapters.clock import SystemClock
from gateway.core.approval import Grant
from gateway.core.call import PRINCIPAL_WINDOW_SECONDS
from gateway.core.conversation import Conversation
from gateway.core.ids import uuid7
from gateway.core.outcome import AwaitingApproval, Completed, Denied, InDoubt, Outcome, Replayed
from gateway.core.reply import UpstreamReply

HOURS = 6.0
STEPS = 400
APPROVAL_SECONDS = 600.0
NEAR_SECONDS = 5.0
"""So near to the edge of a window nothing is claimed: the call itself takes time."""


class JumpingClock:
    """Implements `core.ports.Clock`: the system's clock, `offset` seconds away. Monotonic time does not jump."""

    def __init__(self) -> None:
        self.offset = 0.0
        self._real = SystemClock()

    def seconds(self) -> float:
        """Unix time by this clock."""
        return time.time() + self.offset

    def now(self) -> str:
        return self.later(0.0)

    def later(self, seconds: float) -> str:
        moment = datetime.fromtimestamp(self.seconds() + seconds, UTC)
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"

    def new_id(self) -> str:
        return uuid7(int(self.seconds() * 1000), os.urandom(10))

    def monotonic(self) -> float:
        return self._real.monotonic()


class SlowWorld(World):
    """Effects wait at the gate, where it is shut."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()

    async def run(self, grant: Grant, conversation: Conversation) -> UpstreamReply:
        await self.gate.wait()
        return await super().run(grant, conversation)


@dataclass(slots=True)
class _Question:
    """An approval that was asked for: its expiry by the clock, and whether Bob's yes counted."""

    key: str
    approval_id: str
    expires_at: str
    approved: bool = False
    over: bool = False


async def run(tally: Tally, folder: Path, steps: int = STEPS) -> None:
    """That many steps, each after a jump or none."""
    clock = JumpingClock()
    async with deployment(folder / "keys", clock) as made:
        journey = _Journey(tally, clock, made, folder)
        await journey.go(steps)


class _Journey:
    def __init__(self, tally: Tally, clock: JumpingClock, made: Deployment, folder: Path) -> None:
        self._tally = tally
        self._clock = clock
        self._made = made
        self._folder = folder
        self._dice = Random(tally.seed)
        self._world = SlowWorld()
        self._promises = Promises()
        self._questions: list[_Question] = []
        self._derived: dict[str, float] = {}
        self._open()

    def _open(self) -> None:
        self._gateway = InsideGateway(
            self._folder, self._made, self._world, Options(approval_seconds=APPROVAL_SECONDS, wal_pages=100)
        )

    async def go(self, steps: int) -> None:
        """Jump and call; at the end look at the log."""
        doings = (self._fresh, self._again, self._doubt, self._ask, self._answer, self._resume, self._derive, self._at_once)
        for number in range(steps):
            self._where = f"step {number}, seed {self._tally.seed}"
            if self._dice.random() < 0.4:
                self._jump()
            if self._dice.random() < 0.03:
                self._gateway.close()
                self._open()
                await self._gateway.journal.recover()
                self._tally.did["restarts"] += 1
            if self._dice.random() < 0.2:
                await self._gateway.journal.questions.expire_due()
            await self._dice.choice(doings)(f"{number}")
        self._gateway.close()
        log = read_log(self._gateway.path, self._made.keys, [])
        audit_log(self._tally, f"seed {self._tally.seed}", log, self._promises, self._world)

    def _jump(self) -> None:
        hours = self._dice.choice((HOURS, 0.2, 0.03))
        self._clock.offset += self._dice.uniform(-hours, hours) * 3600
        self._tally.did["jumps"] += 1

    async def _call(self, tool: str, key: str) -> Outcome:
        self._promises.tools[key] = tool
        outcome = await call(self._gateway, tool, key)
        self._promises.told(key, outcome)
        self._tally.did["calls acknowledged"] += 1
        return outcome

    def _check(self, condition: object, what: str) -> None:
        self._tally.check(condition, f"{self._where}: {what}")

    async def _fresh(self, key: str) -> None:
        outcome = await self._call(self._dice.choice((WRITE, READ)), key)
        self._check(isinstance(outcome, Completed), f"{key} is {outcome}")

    async def _again(self, _key: str) -> None:
        if not self._promises.results:
            return
        key = self._dice.choice(list(self._promises.results))
        result = self._promises.results[key]
        outcome = await self._call(self._promises.tools[key], key)
        self._check(isinstance(outcome, Replayed) and outcome.result == result, f"{key} again is {outcome}")

    async def _doubt(self, key: str) -> None:
        self._check(isinstance(await self._call(MUTE, key), InDoubt), f"{key} is not in doubt")
        self._jump()
        self._check(isinstance(await self._call(MUTE, key), InDoubt), f"{key} again is not in doubt")

    async def _ask(self, key: str) -> None:
        outcome = await self._call(DESTROY, key)
        self._check(isinstance(outcome, AwaitingApproval), f"{key} is {outcome}")
        if isinstance(outcome, AwaitingApproval):
            self._questions.append(_Question(key, outcome.approval_id, outcome.expires_at))

    async def _answer(self, _key: str) -> None:
        for question in [each for each in self._questions if not each.approved and not each.over][-1:]:
            late = self._clock.now() >= question.expires_at
            counted = await self._gateway.approve(question.approval_id)
            self._check(not (late and counted), f"a yes to {question.key} counted after its expiry")
            question.approved = question.approved or counted
            question.over = question.over or not counted
            self._tally.did["approvals given"] += counted

    async def _resume(self, _key: str) -> None:
        """The call whose approval was asked for, again: runs if it was approved and is not late, by the clock."""
        waiting = [each for each in self._questions if each.key not in self._promises.results]
        if not waiting:
            return
        question = self._dice.choice(waiting)
        late = self._clock.now() >= question.expires_at
        outcome = await self._call(DESTROY, question.key)
        match outcome:
            case Completed():
                fit = question.approved and not late
                self._check(fit, f"{question.key} ran: approved {question.approved}, late {late}, over {question.over}")
                self._tally.did["approvals used"] += 1
            case AwaitingApproval(approval_id=asked, expires_at=expires_at):
                if asked == question.approval_id:
                    self._check(not late and not question.over, f"{question.key} still waits: late {late}")
                else:  # the old question is over; this is a new one
                    self._check(late or question.over or await self._expired(question), f"{question.key} is asked anew")
                    self._questions.append(_Question(question.key, asked, expires_at))
                    question.over = True
                    self._questions.remove(question)
            case Denied():
                self._check(late or question.over or await self._expired(question), f"{question.key} is refused in time")
                question.over = True
                self._tally.did["approvals expired"] += 1
            case _:
                self._check(False, f"{question.key} is {outcome}")

    async def _expired(self, question: _Question) -> bool:
        rows = await self._gateway.journal.questions.rows(pending_only=False)
        states = {row.request.approval_id: row.state.value for row in rows}
        return states.get(question.approval_id) == "expired"

    async def _derive(self, _key: str) -> None:
        """A call without a key: the same call within its window, by the clock, is the same; after it, another."""
        key = self._dice.choice(("derived-1", "derived-2"))
        before, now = self._derived.get(key), self._clock.seconds()
        happened = len(self._world.effects)
        outcome = await self._gateway.call(WRITE, {"key": key}, None)
        self._promises.receipts.append(outcome.receipt)
        self._tally.did["calls acknowledged"] += 1
        ran = len(self._world.effects) - happened
        within = before is not None and now - before <= PRINCIPAL_WINDOW_SECONDS
        if before is None or abs(now - before - PRINCIPAL_WINDOW_SECONDS) > NEAR_SECONDS:
            self._check(ran == (not within), f"{key}: {ran} effects, {'with' if within else 'without'}in its window")
        if ran:
            self._derived[key] = self._clock.seconds()
            self._world.effects[-1] = type(self._world.effects[-1])(
                f"{key} at {happened}", self._world.effects[-1].envelope_id
            )

    async def _at_once(self, key: str) -> None:
        """Duplicates that run while the clock jumps."""
        self._world.gate.clear()
        self._promises.tools[key] = WRITE
        calls = [asyncio.create_task(self._call(WRITE, key)) for _ in range(4)]
        while self._gateway.steps.inside["execute"] + self._gateway.steps.inside["reserve"] < len(calls):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        self._jump()
        self._world.gate.set()
        outcomes = await asyncio.gather(*calls)
        results = [each.result for each in outcomes if isinstance(each, Completed | Replayed)]
        self._check(len(results) == len(calls), f"{key}: {outcomes}")
        self._check(all(result == results[0] for result in results), f"{key}: results differ")
        if sum(isinstance(each, Completed) for each in outcomes) != 1:
            self._tally.find(Finding.DUPLICATE, f"{self._where}: {key} ran more than once")
