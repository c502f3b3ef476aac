"""Every operation of the disk fails, one after the other: the Nth create, write, sync, truncation, deletion, open, read and
call on shared memory, for N = 1 until the scenario ends before its Nth.

The scenario is small and always the same: open, recover, one call of each kind one after the other, close. After the fault
nothing may be acknowledged by a writer that met it; then the power goes off as well, and what is left is audited. A sync
that fails loses data that a later sync does not bring back, so a gateway that syncs again and goes on is found out.
"""

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

import apsw

from faults.audit import Promises, audit_folder, call_and_approve
from faults.disk import CHANGES, Action, Disk, DiskError, DiskFull, Operation, SystemCalls
from faults.inside import Deployment, InsideGateway, Options, deployment
from faults.power import PowerSupply
from faults.tally import Finding, Tally
from faults.world import DESTROY, MUTE, READ, UNSENT, WRITE, World
from gateway.core.errors import GatewayError

SCENARIO = (WRITE, READ, DESTROY, MUTE, UNSENT, WRITE)
WAL_PAGES = 16
"""Few enough that the WAL is copied into the database in the middle of the scenario."""
NEVER = 1 << 60
_CODES = {
    Action.CREATE: apsw.SQLITE_CANTOPEN,
    Action.OPEN: apsw.SQLITE_CANTOPEN,
    Action.READ: apsw.SQLITE_IOERR_READ,
    Action.WRITE: apsw.SQLITE_IOERR_WRITE,
    Action.TRUNCATE: apsw.SQLITE_IOERR_TRUNCATE,
    Action.SYNC: apsw.SQLITE_IOERR_FSYNC,
    Action.DELETE: apsw.SQLITE_IOERR_DELETE,
}


def _broken(operation: Operation) -> apsw.Error:
    return DiskError(_CODES[operation.action], f"no {operation}")


def _full(operation: Operation) -> apsw.Error:
    return DiskFull(f"no space: {operation}") if operation.action is Action.WRITE else _broken(operation)


class FailingDisk:
    """Watches a disk; its `at`-th operation out of `actions` fails with `error`, and where it `lasts` every later one too.

    `met` is that operation. Below it, a power supply knows what is durable.
    """

    def __init__(
        self,
        supply: PowerSupply,
        at: int,
        actions: frozenset[Action],
        error: Callable[[Operation], apsw.Error],
        *,
        lasts: bool,
    ) -> None:
        self._supply = supply
        self._at = at
        self._actions = actions
        self._error = error
        self._lasts = lasts
        self._count = 0
        self.met: Operation | None = None

    def __call__(self, operation: Operation) -> None:
        if operation.action in self._actions and not self._supply.off():
            self._count += 1
            if self._count == self._at or (self._lasts and self._count > self._at):
                self.met = self.met or operation
                if operation.action is Action.SYNC:
                    self._supply.forget(operation.path)
                raise self._error(operation)
        self._supply(operation)


FAILURES: dict[str, tuple[frozenset[Action], Callable[[Operation], apsw.Error], bool]] = {
    "an error, once": (CHANGES, _broken, False),
    "an error, from then on": (CHANGES, _broken, True),
    "no space, from then on": (CHANGES, _full, True),
    "an error of reading or opening, once": (frozenset({Action.READ, Action.OPEN}), _broken, False),
}


async def run(tally: Tally, folder: Path) -> None:
    """Every N of every failure."""
    async with deployment(folder / "keys") as made:
        for failure in FAILURES:
            tally.did[f"points: {failure}"] = await _enumerate(tally, failure, folder, made)
        tally.did["points: shared memory, once"] = await _shared_memory(tally, folder, made)


async def _enumerate(tally: Tally, failure: str, folder: Path, made: Deployment) -> int:
    actions, error, lasts = FAILURES[failure]
    at = 0
    while True:
        at += 1
        supply = PowerSupply(Random(tally.seed + at), NEVER)
        disk = FailingDisk(supply, at, actions, error, lasts=lasts)
        one = _Scenario(tally, f"{failure}, N = {at}", folder / "state", made)
        with Disk(disk):
            await one.play(lambda disk=disk: disk.met is not None)  # type: ignore[misc]
            supply.cut()
        if disk.met is None:
            shutil.rmtree(folder / "state")
            return at - 1
        supply.leave(folder / "state")
        await one.end(str(disk.met))


async def _shared_memory(tally: Tally, folder: Path, made: Deployment) -> int:
    at = 0
    while True:
        at += 1
        count = 0
        met: list[str] = []

        def watch(name: str, at: int = at, met: list[str] = met) -> int | None:
            nonlocal count
            count += 1
            if count != at:
                return None
            met.append(name)
            return errno.ENOSPC if name.startswith("pwrite") else errno.EIO

        one = _Scenario(tally, f"shared memory, N = {at}", folder / "state", made)
        with SystemCalls("-shm", watch):
            await one.play(lambda met=met: bool(met))  # type: ignore[misc]
        if not met:
            shutil.rmtree(folder / "state")
            return at - 1
        await one.end(met[0])


class _Scenario:
    def __init__(self, tally: Tally, name: str, folder: Path, made: Deployment) -> None:
        self._tally = tally
        self._name = name
        self._folder = folder
        self._made = made
        self._promises = Promises()
        self._world = World()
        folder.mkdir()

    async def play(self, met: Callable[[], bool]) -> None:
        """The scenario, as far as it goes."""
        try:
            gateway = InsideGateway(self._folder, self._made, self._world, Options(wal_pages=WAL_PAGES))
        except GatewayError:
            self._tally.did["did not open"] += 1
            return
        try:
            await gateway.journal.recover()
            for number, tool in enumerate(SCENARIO):
                await self._call(gateway, tool, f"key-{number}")
        except GatewayError:
            self._tally.check(met(), f"{self._name}: recovery failed without a fault")
        except apsw.Error as error:
            self._tally.find(Finding.OTHER, f"{self._name}: recovery raised {error!r}, which is no GatewayError")
        finally:
            gateway.close()
        if met():
            self._tally.did["writer ended" if gateway.deaths else "passed over, nothing lost"] += 1

    async def _call(self, gateway: InsideGateway, tool: str, key: str) -> None:
        dead = bool(gateway.deaths)
        try:
            await call_and_approve(gateway, self._promises, tool, key)
        except GatewayError as error:
            self._tally.did["calls refused"] += 1
            self._tally.check(error.code, f"{self._name}: an error without a code")
        except apsw.Error as error:
            self._tally.find(Finding.OTHER, f"{self._name}: {tool} raised {error!r}, which is no GatewayError")
        else:
            self._tally.did["calls acknowledged"] += 1
            self._tally.check(not dead, f"{self._name}: {tool} was acknowledged by a dead writer")

    async def end(self, what: str) -> None:
        """Audit what is left."""
        where = f"{self._name} ({what})"
        await audit_folder(
            self._tally, where, self._folder, self._made, self._promises, self._world, list(self._promises.tools)
        )
        shutil.rmtree(self._folder)
