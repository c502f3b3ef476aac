"""`sealgate state check`: the whole journal against its signed log, in one snapshot and constant memory.

The log decides; everything else in the file is derived from it and must agree:

* the file itself (SQLite's integrity_check), its tables, without triggers or views, then the log (`core.verify`)
* every tile, the stored head and its frontier
* every call's row and every approval's row (`core.standing`): a changed or missing one could let an effect run again
* the mark at the entry that tells last which policies decide (`policies.py`): an older history of them could pass for new
* every run's row (`told_flows.py`): one that forgot what its run read would let effects run unasked
* every stored value opens and is the committed one; it is missing only by retention or erasure (`values.py`)
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import apsw
import orjson

from gateway.adapters.store.sqlite.database import open_for_reading, schema_problems
from gateway.adapters.store.sqlite.policies import ToldPolicies
from gateway.adapters.store.sqlite.reader import LogTables
from gateway.adapters.store.sqlite.told import check_rows, keep_told
from gateway.adapters.store.sqlite.values import check_values
from gateway.core.dsse import read_envelope
from gateway.core.entry import PAYLOAD_TYPE, Entry, Kind
from gateway.core.merkle import Frontier
from gateway.core.ports import VaultFile
from gateway.core.tiles import HEIGHT, WIDTH
from gateway.core.trust import TrustedKeys
from gateway.core.verify import MAX_PROBLEMS, Report, StoredEntry, verify_log

Watch = Callable[[Iterable[StoredEntry], int, str], Iterable[StoredEntry]]
"""Wraps a pass over the entries for a progress bar: the entries, how many there are, what the pass does."""


@dataclass(slots=True)
class StateReport:
    """What was checked, in sentences, and what is wrong. `log` is None where not even the file could be read.

    Not all is well either where `log` has parts that a revocation disowns and nobody accepted.
    """

    checked: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    log: Report | None = None

    @property
    def ok(self) -> bool:
        return not self.problems and (self.log is None or self.log.ok)


def unwatched(entries: Iterable[StoredEntry], _total: int, _doing: str) -> Iterable[StoredEntry]:
    """No progress bar."""
    return entries


def check_file(
    path: Path,
    keys: TrustedKeys,
    *,
    kept: Sequence[str] = (),
    vault: VaultFile | None = None,
    accept_revoked: frozenset[str] = frozenset(),
    watch: Watch = unwatched,
) -> StateReport:
    """Check a journal file, with or without a daemon that writes it.

    Args:
        kept: signed checkpoints from outside, which the log must be an extension of
        vault: opens the stored values; None: they are not looked at
        accept_revoked: ids of revoked keys; what their revocations disown is accepted, as by `verify_log`

    Raises:
        StoreFault: it cannot be opened, or has another schema.
    """
    db = open_for_reading(path)
    try:
        db.execute("BEGIN")
        return _checked(db, _Means(keys, kept, vault, watch, accept_revoked))
    finally:
        db.close()


def check_migrated(db: apsw.Connection, keys: TrustedKeys, accept_revoked: frozenset[str], watch: Watch) -> StateReport:
    """Check what `db` sees inside its transaction."""
    return _checked(db, _Means(keys, (), None, watch, accept_revoked))


def database_problems(path: Path) -> list[str]:
    """What SQLite's integrity_check finds in another database file."""
    try:
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)) as db:
            db.set_busy_timeout(5000)
            return [f"{path.name}: {row[0]}" for row in db.execute("PRAGMA integrity_check") if row[0] != "ok"]
    except apsw.Error as error:
        return [f"{path.name}: {error}"]


def _checked(db: apsw.Connection, means: "_Means") -> StateReport:
    """Each part is only looked at where the parts before it hold."""
    report = StateReport()
    try:
        for part in (_check_file, _check_log, _check_rows):
            part(db, report, means)
            if not report.ok:
                break
    except apsw.Error as error:
        report.problems.append(f"the file is damaged: {error}")
    del report.problems[MAX_PROBLEMS:]
    return report


@dataclass(frozen=True, slots=True)
class _Means:
    keys: TrustedKeys
    kept: Sequence[str]
    vault: VaultFile | None
    watch: Watch
    accept_revoked: frozenset[str] = frozenset()


def _check_file(db: apsw.Connection, report: StateReport, _: _Means) -> None:
    found = [str(row[0]) for row in db.execute("PRAGMA integrity_check")]
    if found != ["ok"]:
        report.problems.extend(f"journal.db: {problem}" for problem in found)
    report.problems.extend(f"journal.db: {problem}" for problem in schema_problems(db))
    report.checked.append("journal.db is sound below its tables")


def _check_log(db: apsw.Connection, report: StateReport, means: _Means) -> None:
    log = LogTables(db)
    head = log.head()
    entries = means.watch(log.entries(), head[0], "verifying the log")
    found = verify_log(
        entries,
        log.checkpoints(),
        means.keys,
        head=head,
        kept=means.kept,
        snapshot=True,
        tile=log.tile,
        accept_revoked=means.accept_revoked,
    )
    report.log = found
    report.problems.extend(found.problems)
    tiles = db.execute("SELECT count(*) FROM tiles").get
    if tiles != tile_count(found.size):
        report.problems.append(f"tiles: there are {tiles}, and a log of {found.size} entries has {tile_count(found.size)}")
    report.checked.append(f"the log verifies: {found.size} entries, {found.checkpoints} checkpoints, {tiles} tiles")


def tile_count(size: int) -> int:
    """How many tiles a log of so many entries stores: at the lowest level the full ones, above it all."""
    count = 0
    hashes = size
    while hashes:
        count += hashes // WIDTH if hashes == size else -(-hashes // WIDTH)
        hashes >>= HEIGHT
    return count


def _check_rows(db: apsw.Connection, report: StateReport, means: _Means) -> None:
    """Read the verified log once more, and hold the head's frontier and the rows against what it says."""
    size = report.log.size if report.log is not None else 0
    frontier = Frontier()
    policies = ToldPolicies()

    def passed() -> Iterator[Entry]:
        for stored in means.watch(LogTables(db).entries(), size, "comparing the calls"):
            frontier.append(stored.leaf)
            yield read_entry(stored.entry)

    with keep_told(db, policies.watch(passed())):
        tables = ("calls", "approvals", "flows")
        calls, approvals, runs = (db.execute(f"SELECT count(*) FROM {table}").get for table in tables)  # noqa: S608
        report.problems.extend(islice(check_rows(db), MAX_PROBLEMS))
        if means.vault is not None:
            report.problems.extend(islice(check_values(db, means.vault), MAX_PROBLEMS))
    report.problems.extend(policies.problems(db))
    head = db.execute("SELECT CAST(frontier AS BLOB) FROM head").get
    if size and head != frontier.to_bytes():
        report.problems.append("the stored head: its frontier is not that of the entries")
    report.problems.extend(
        f"anchors: there is one for {size}, and no checkpoint"
        for (size,) in db.execute("SELECT DISTINCT size FROM anchors WHERE size NOT IN (SELECT size FROM checkpoints)")
    )
    report.checked.append(f"{calls} calls, {approvals} approvals and {runs} runs stand as the log says")
    if means.vault is not None:
        values = db.execute("SELECT count(*) FROM evidence").get
        report.checked.append(f"the values of {values} calls and questions open")


def read_entry(data: bytes) -> Entry:
    """An entry of a log that was verified already: its signatures are not checked again."""
    envelope = read_envelope(data, PAYLOAD_TYPE)
    predicate: dict[str, Any] = orjson.loads(envelope.payload)["predicate"]
    keyids = tuple(signature.keyid for signature in envelope.signatures)
    return Entry(predicate["index"], Kind(predicate["kind"]), predicate["id"], predicate, keyids)
