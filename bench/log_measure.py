"""One log that grows under the real writer, with real signatures on a real file, and what is measured on the way."""

import asyncio
import itertools
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from bench.log_calls import call_body, call_records
from bench.processes import REPOSITORY
from gateway.adapters.keys import load_keys, make_keys
from gateway.adapters.store.sqlite.database import open_for_writing
from gateway.adapters.store.sqlite.reader import SqliteLog
from gateway.adapters.store.sqlite.writer import Transaction, Writer
from gateway.core.checkpoint import read_checkpoint
from gateway.core.entry import Record, SealedEntry
from gateway.core.errors import StoreFault
from gateway.core.merkle import leaf_hash
from gateway.core.proof import consistency_proof, inclusion_proof, verify_inclusion
from gateway.core.tiles import TileName, tile_nodes
from gateway.core.tlog_proof import LogProof

BLOCK = 10_000
"""Appends over which a cost is taken."""
CALLERS = 32
"""Who append at once while the log grows."""
WARM_APPENDS = 2_000
PROOFS = 300
SEED = 6962


@dataclass(frozen=True, slots=True)
class Grown:
    """What was measured at one size. Times of proofs are per proof, sizes those of the largest."""

    round: int
    entries: int
    append_us: float
    append_ratio: float
    prove_ms: float
    prove_p99_ms: float
    hashes: int
    proof_bytes: int
    extend_ms: float
    extend_hashes: int
    verified_per_second: float
    verify_base_mib: float
    verify_peak_mib: float
    file_mib: float
    problems: int


@dataclass(frozen=True, slots=True)
class Rate:
    """Appends a second by so many callers at once, each waiting for its commit; `cpu_us` and `p50_ms` are for one append."""

    round: int
    callers: int
    appends: int
    per_second: float
    cpu_us: float
    p50_ms: float
    p99_ms: float


class Growing:
    """A log in `folder` with its writer. `append` is one caller's work: intent and outcome of one call after the other."""

    def __init__(self, folder: Path) -> None:
        make_keys(folder / "keys", origin="bench.example/log", dev=True)
        keys = load_keys(folder / "keys")
        self.journal = folder / "journal.db"
        self.public = folder / "keys" / "public.json"
        self._writer = Writer(
            open_for_writing(self.journal, keys.origin),
            origin=keys.origin,
            entry_signer=keys.entry,
            log_signer=keys.log,
            dev=True,
            on_death=_died,
        )
        self._body = call_body()
        self._numbers = itertools.count()
        self.waits: list[float] = []

    async def append(self, callers: int, more: Callable[[], bool]) -> int:
        """Append with so many callers at once while `more()`; how many entries it became."""
        return sum(await asyncio.gather(*(self._call(more) for _ in range(callers))))

    async def _call(self, more: Callable[[], bool]) -> int:
        appended = 0
        while more():
            for record in call_records(self._body, next(self._numbers)):
                started = time.perf_counter()
                await self._writer.submit(partial(_append, record))
                self.waits.append(time.perf_counter() - started)
                appended += 1
        return appended

    def mib(self) -> float:
        """How large its files are."""
        return sum(file.stat().st_size for file in self.journal.parent.glob("journal.db*")) / 2**20

    def close(self) -> None:
        """Sign the last checkpoint and close the file."""
        self._writer.close()


async def rates(folder: Path, number: int, callers: Sequence[int], seconds: float) -> list[Rate]:
    """Appends a second, for each number of callers, on one log in `folder`."""
    with closing(Growing(folder)) as log:
        await log.append(CALLERS, _count(WARM_APPENDS))
        found = []
        for many in callers:
            log.waits.clear()
            cpu, started = time.process_time(), time.monotonic()
            appends = await log.append(many, _until(started + seconds))
            took, cpu = time.monotonic() - started, time.process_time() - cpu
            waits = sorted(log.waits)
            found.append(
                Rate(
                    number,
                    many,
                    appends,
                    appends / took,
                    cpu / appends * 1e6,
                    median(waits) * 1e3,
                    waits[int(len(waits) * 0.99)] * 1e3,
                )
            )
        return found


async def grow(folder: Path, number: int, sizes: Sequence[int]) -> list[Grown]:
    """One log in `folder` that grows through these sizes, measured at each."""
    with closing(Growing(fresh(folder))) as warm:
        await warm.append(CALLERS, _count(WARM_APPENDS))
    found: list[Grown] = []
    size, first = 0, 0.0
    log = Growing(folder)
    for wanted in sizes:
        spent = 0.0
        while size < wanted:
            cpu = time.process_time()
            appended = await log.append(CALLERS, _count(min(BLOCK, wanted - size)))
            spent = (time.process_time() - cpu) / appended * 1e6
            log.waits.clear()
            first = first or spent
            size += appended
            progress(f"round {number}: {size} entries, {spent:.0f} µs CPU for each of the last {appended}")
        await _until_checkpointed(log.journal, size)
        found.append(_measured(log, number, size, spent, spent / first))
        progress(f"round {number}: {size} entries proved and verified")
    log.close()
    return found


async def _until_checkpointed(journal: Path, size: int) -> None:
    for _ in range(1000):
        with closing(SqliteLog(journal)) as log:
            if _covered(log) == size:
                return
        await asyncio.sleep(0.01)
    raise TimeoutError("the writer made no checkpoint")


def _covered(log: SqliteLog) -> int:
    note = log.checkpoint()
    return read_checkpoint(note).checkpoint.size if note is not None else 0


def _measured(growing: Growing, number: int, size: int, append_us: float, ratio: float) -> Grown:
    dice = random.Random(SEED)
    with closing(SqliteLog(growing.journal)) as log:
        proofs = [_prove(log, dice.randrange(size), size) for _ in range(PROOFS)]
        extensions = [_extend(log, dice.randrange(1, size), size) for _ in range(PROOFS)]
    command = [sys.executable, "-m", "bench.log_verify", str(growing.journal), str(growing.public)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    verified: dict[str, Any] = json.loads(done.stdout)
    for problem in verified["problems"][:3]:
        progress(problem)
    return Grown(
        round=number,
        entries=size,
        append_us=append_us,
        append_ratio=ratio,
        prove_ms=median(took for took, _, _ in proofs) * 1e3,
        prove_p99_ms=quantiles([took for took, _, _ in proofs], n=100)[98] * 1e3,
        hashes=max(hashes for _, hashes, _ in proofs),
        proof_bytes=max(length for _, _, length in proofs),
        extend_ms=median(took for took, _ in extensions) * 1e3,
        extend_hashes=max(hashes for _, hashes in extensions),
        verified_per_second=verified["entries"] / verified["cpu_seconds"],
        verify_base_mib=verified["base_kib"] / 1024,
        verify_peak_mib=verified["peak_kib"] / 1024,
        file_mib=growing.mib(),
        problems=len(verified["problems"]) + (verified["entries"] != size),
    )


def _prove(log: SqliteLog, index: int, size: int) -> tuple[float, int, int]:
    """Make one proof file out of the stored tiles, nothing kept from the one before: seconds, hashes, bytes."""
    started = time.perf_counter()
    stored = next(iter(log.entries(index)))
    note = log.checkpoint() or ""
    hashes = inclusion_proof(index, size, tile_nodes(size, _reader(log)))
    text = LogProof(stored.entry, index, tuple(hashes), note).text()
    took = time.perf_counter() - started
    if not verify_inclusion(index, size, leaf_hash(stored.entry), hashes, read_checkpoint(note).checkpoint.root):
        raise AssertionError(f"the proof of entry {index} in {size} does not hold")
    return took, len(hashes), len(text)


def _extend(log: SqliteLog, old: int, size: int) -> tuple[float, int]:
    started = time.perf_counter()
    hashes = consistency_proof(old, size, tile_nodes(size, _reader(log)))
    return time.perf_counter() - started, len(hashes)


def _reader(log: SqliteLog) -> Callable[[TileName], bytes]:
    def read(name: TileName) -> bytes:
        data = log.tile(name)
        if data is None:
            raise AssertionError(f"{name.path} is not there")
        return data

    return read


def _count(appends: int) -> Callable[[], bool]:
    """True as often as it takes to append that many entries, two for each call."""
    calls = itertools.count(2, 2)
    return lambda: next(calls) <= appends


def _until(end: float) -> Callable[[], bool]:
    return lambda: time.monotonic() < end


def _append(record: Record, transaction: Transaction) -> SealedEntry:
    return transaction.append(record)


def fresh(folder: Path) -> Path:
    """A new folder below `folder`."""
    return Path(tempfile.mkdtemp(dir=folder))


def _died(fault: StoreFault) -> None:
    progress(f"the writer died: {fault}")


def progress(text: str) -> None:
    """Say on stderr how far it is."""
    print(text, file=sys.stderr, flush=True)
