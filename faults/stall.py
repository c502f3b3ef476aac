"""A disk that does not answer, and a flood of calls: refused before any effect, in bounded memory; and it recovers."""

import asyncio
import itertools
import os
import threading
from pathlib import Path
from random import Random

from faults.audit import USERS, Promises, audit_log, audit_retries, call, user_of
from faults.disk import Action, Disk, Operation
from faults.inside import InsideGateway, Options, deployment, read_log
from faults.tally import Finding, Tally
from faults.world import WRITE, World
from gateway.adapters.store.sqlite.writer import MAX_BATCH, MAX_QUEUE
from gateway.core.errors import Overloaded
from gateway.core.outcome import Completed, Outcome

FLOOD = MAX_QUEUE + MAX_BATCH + 1000
WAVE = 500
MOST_GROWTH_BYTES = 32 << 20
PATIENCE_SECONDS = 120
SAMPLE = 200


class StalledDisk:
    """Watches a disk; its syncs wait while it is stalled."""

    def __init__(self) -> None:
        self._going = threading.Event()
        self._going.set()

    def stall(self) -> None:
        """Answer no sync from now on."""
        self._going.clear()

    def go_on(self) -> None:
        """Answer all that wait, and the next."""
        self._going.set()

    def __call__(self, operation: Operation) -> None:
        if operation.action is Action.SYNC:
            self._going.wait(PATIENCE_SECONDS)


async def run(tally: Tally, folder: Path) -> None:
    """Two floods on a stalled disk; then it goes on."""
    disk, world, promises = StalledDisk(), World(), Promises()
    async with deployment(folder / "keys") as made:
        with Disk(disk):
            gateway = InsideGateway(folder, made, world, Options())
            try:
                for key in _first_keys():
                    promises.tools[key] = WRITE
                    promises.told(key, await call(gateway, WRITE, key))
                happened = len(world.effects)
                disk.stall()
                first = _Flood(tally, gateway, "a")
                await first.send()
                before = _resident_bytes()
                second = _Flood(tally, gateway, "b")
                await second.send()
                growth = _resident_bytes() - before
                if len(world.effects) > happened:
                    tally.find(Finding.UNINTENDED, f"{len(world.effects) - happened} effects while the disk stood still")
                _judge(tally, first, second, growth)
                disk.go_on()
                for key, outcome in (await first.answers()).items():
                    promises.tools[key] = WRITE
                    promises.told(key, outcome)
                    tally.check(isinstance(outcome, Completed), f"{key} was let in and is {outcome}")
                refused = Random(tally.seed).sample([*first.refused, *second.refused], SAMPLE)
                promises.tools |= dict.fromkeys(refused, WRITE)
                await audit_retries(tally, "refused before", gateway, promises, world, refused)
                tally.check(not gateway.deaths, f"the writer ended: {gateway.deaths}")
            finally:
                disk.go_on()
                gateway.close()
        audit_log(tally, f"seed {tally.seed}", read_log(gateway.path, made.keys, []), promises, world)
    tally.did["calls acknowledged"] = len(promises.results)


class _Flood:
    """Calls that nobody waits for. `refused` are the keys of those that were refused."""

    def __init__(self, tally: Tally, gateway: InsideGateway, name: str) -> None:
        self._tally = tally
        self._gateway = gateway
        self._others = gateway.steps.inside["begin"]
        self._keys = [f"{name}-{number}" for number in range(FLOOD)]
        self._tasks: dict[str, asyncio.Task[Outcome]] = {}
        self.refused: list[str] = []

    async def send(self) -> None:
        """Send all, and wait until each is refused or waits for the disk."""
        for start in range(0, FLOOD, WAVE):  # in waves: a policy that is asked 5,000 things at once may overrun its deadline
            wave = self._keys[start : start + WAVE]
            self._tasks |= {key: asyncio.create_task(call(self._gateway, WRITE, key)) for key in wave}
            await self._settled()
            for key in wave:
                if self._tasks[key].done() and isinstance(self._tasks[key].exception(), Overloaded):
                    self.refused.append(key)
                    del self._tasks[key]
        self._tally.did["calls sent"] += FLOOD
        self._tally.did["calls refused"] += len(self.refused)

    async def _settled(self) -> None:
        """Until every call of this process is done or waits for the commit of its intent."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self._waiting() + self._others != self._gateway.steps.inside["begin"]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    def _waiting(self) -> int:
        return sum(not task.done() for task in self._tasks.values())

    async def answers(self) -> dict[str, Outcome]:
        """The answers of the calls that were not refused."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return dict(zip(self._tasks, await asyncio.gather(*self._tasks.values()), strict=True))


def _first_keys() -> list[str]:
    """A key of each user: the vault makes a user's key at their first call, and waits for the disk while it does."""
    numbered = (f"first-{number}" for number in itertools.count())
    return list({user_of(key): key for key in itertools.islice(numbered, 10 * len(USERS))}.values())


def _judge(tally: Tally, first: _Flood, second: _Flood, growth: int) -> None:
    let_in = FLOOD - len(first.refused)
    tally.check(let_in <= MAX_QUEUE + MAX_BATCH, f"{let_in} calls were let in")
    tally.check(let_in >= MAX_QUEUE, f"only {let_in} calls were let in")
    tally.check(len(second.refused) == FLOOD, f"{FLOOD - len(second.refused)} calls were let in by a full queue")
    tally.check(growth < MOST_GROWTH_BYTES, f"{FLOOD} refused calls cost {growth} bytes of memory")
    tally.notes.append(f"{FLOOD} refused calls cost {max(growth, 0) / FLOOD:.0f} bytes each of resident memory")


def _resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
