"""Power cuts under the real writer, journal and vault, each followed by what a restart finds.

A *life* is one state folder that loses power up to six times, also while it opens and recovers. After each cut a copy of
what is left is opened by the ordinary code, recovered, verified, held against what was promised, and asked everything again;
the life itself goes on from what was left, not from the recovered copy. While it has power nothing may fail. A life where
something was found ends there, and the next one starts.
"""

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import apsw

from faults.audit import Promises, audit_folder, call_and_approve
from faults.disk import Disk
from faults.inside import Deployment, InsideGateway, Options, deployment
from faults.power import PowerSupply
from faults.tally import Finding, Tally
from faults.world import DESTROY, MUTE, READ, UNSENT, WRITE, World
from gateway.core.errors import GatewayError

CALLERS = 4
CALLS_EACH = 10
MOST_CUTS = 6
MOST_CHANGES = (60, 800, 3000)
OLD_KEYS = 12


async def run(tally: Tally, cuts: int, folder: Path, options: Options = Options()) -> None:  # noqa: B008
    """That many cuts."""
    async with deployment(folder / "keys") as made:
        done = life = 0
        while done < cuts:
            one = _Life(folder / f"life-{life}", made, tally.seed + life, tally, options)
            for _ in range(min(one.cuts, cuts - done)):
                done += 1
                tally.progress(done, cuts)
                if not await one.segment():  # what is broken stays for whoever looks into it
                    break
            else:
                shutil.rmtree(one.folder)
            life += 1
    tally.did["lives"] = life


class _Life:
    def __init__(self, folder: Path, made: Deployment, seed: int, tally: Tally, options: Options) -> None:
        self.folder = folder
        self._made = made
        self._seed = seed
        self._dice = dice = Random(seed)
        self._tally = tally
        self.cuts = dice.randint(1, MOST_CUTS)
        pages = dice.choice((4, 40, 1000))  # how often the WAL is copied into the database
        self._options = replace(options, wal_pages=pages)
        self._world = World()
        self._promises = Promises()
        self._segment = 0
        self._where = ""
        self._failed = False
        folder.mkdir()

    async def segment(self) -> bool:
        """Open, call, lose power, and look at what is left; whether it was as it should be."""
        self._segment += 1
        self._where = f"{self.folder.name}, cut {self._segment} (again: --only cuts --seed {self._seed})"
        self._tally.did["cuts"] += 1
        # A third of the cuts fall early: into opening, recovery and the first calls.
        most = self._dice.choice(MOST_CHANGES)
        supply = PowerSupply(Random(self._dice.random()), self._dice.randrange(1, most))
        before = set(self._promises.tools)
        found = self._tally.found.total()
        with Disk(supply):
            await self._live(supply)
            self._tally.did["cuts under way" if supply.off() else "cuts after a clean stop"] += 1
            supply.cut()
        supply.leave(self.folder)
        self._tally.did["changes seen"] += supply.changes
        new, old = sorted(set(self._promises.tools) - before), sorted(before)
        again = [*new, *self._dice.sample(old, min(OLD_KEYS, len(old)))]
        await audit_folder(self._tally, self._where, self.folder, self._made, self._promises, self._world, again)
        return self._tally.found.total() == found

    async def _live(self, supply: PowerSupply) -> None:
        with self._only_by(supply, "cuts while it opened"):
            gateway = InsideGateway(self.folder, self._made, self._world, self._options)
            try:
                with self._only_by(supply, "cuts while it recovered"):
                    await gateway.journal.recover()
                    await asyncio.gather(
                        *(self._caller(gateway, supply, Random(self._dice.random()), n) for n in range(CALLERS))
                    )
            finally:
                gateway.close()

    async def _caller(self, gateway: InsideGateway, supply: PowerSupply, dice: Random, number: int) -> None:
        for turn in range(CALLS_EACH):
            if supply.off() or self._failed:
                return
            key, tool = self._next(dice, f"{self._segment}-{number}-{turn}")
            with self._only_by(supply, "calls cut off"):
                await call_and_approve(gateway, self._promises, tool, key)
                self._tally.did["calls acknowledged"] += 1
                if dice.random() < 0.1:
                    self._promises.kept = [note for note in [read_newest(gateway)] if note] or self._promises.kept

    @contextmanager
    def _only_by(self, supply: PowerSupply, what: str) -> Iterator[None]:
        """What fails within, fails because the power is off, and is counted as `what`; else it is a violation."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 on a broken disk a broken gateway can fail in any way
            if supply.off() and isinstance(error, (GatewayError, apsw.Error)):
                self._tally.did[what] += 1
            else:
                self._failed = True
                self._tally.find(Finding.OTHER, f"{self._where}: with the power on, {error!r}")

    def _next(self, dice: Random, fresh: str) -> tuple[str, str]:
        if self._promises.tools and dice.random() < 0.15:
            return dice.choice(list(self._promises.tools.items()))
        return fresh, dice.choices((WRITE, READ, DESTROY, MUTE, UNSENT), (10, 2, 3, 1, 1))[0]


def read_newest(gateway: InsideGateway) -> str | None:
    """The newest checkpoint as anybody may have fetched it by now."""
    db = apsw.Connection(str(gateway.path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        note: str | None = db.execute("SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1").get
        return note
    finally:
        db.close()
