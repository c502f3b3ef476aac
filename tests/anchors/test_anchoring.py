"""Keeping a log anchored, on a real journal file and with witnesses over HTTP, all in one process."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.adapters.anchors.anchoring import Anchoring, Authority, Plan
from gateway.adapters.anchors.asking import anchor_session
from gateway.adapters.anchors.stamp import check_stamp, load_authority
from gateway.adapters.keys import FileSigner
from gateway.adapters.store.sqlite.anchors import SqliteAnchors
from gateway.adapters.store.sqlite.database import open_for_reading, open_for_writing
from gateway.adapters.store.sqlite.reader import SqliteLog
from gateway.adapters.store.sqlite.writer import Transaction, Writer
from gateway.adapters.witness_store import WitnessStore, make_memory
from gateway.core.anchor import AnchorKind
from gateway.core.checkpoint import Checkpoint, read_checkpoint, sign_checkpoint
from gateway.core.entry import Kind, Record
from gateway.core.errors import StoreFault, Unreachable, VerificationFailed
from gateway.core.log_policy import parse_log_policy
from gateway.core.verifier_key import SignatureType, VerifierKey
from gateway.edge.daemon import http_port, http_surface
from gateway.edge.witness import WitnessApp
from tests.anchors.authority import Authority as TimestampAuthority
from tests.anchors.authority import Reply, answering
from tests.store.clock import SetClock

pytestmark = pytest.mark.anyio

ORIGIN = "log.example/anchored"
ENTRY = FileSigner(Ed25519PrivateKey.generate())
LOG = FileSigner(Ed25519PrivateKey.generate())
LOG_KEY = VerifierKey(ORIGIN, SignatureType.ED25519, LOG.public_key)


class Journal:
    """The real writer on a file, opened as the gateway opens it."""

    def __init__(self, path: Path) -> None:
        self.deaths: list[StoreFault] = []
        self.path = path
        db = open_for_writing(path, ORIGIN)
        self.writer = Writer(db, origin=ORIGIN, entry_signer=ENTRY, log_signer=LOG, dev=True, on_death=self.deaths.append)
        self.anchors = SqliteAnchors(self.writer, open_for_reading(path))
        self._clock = SetClock()

    async def grow(self, count: int) -> int:
        """So many entries more, under a checkpoint; the size."""
        for _ in range(count):
            await self.writer.submit(self._append)
        size = self.anchors.size()
        await become(lambda: self._covered() == size, what="a checkpoint of it all")
        return size

    def _append(self, transaction: Transaction) -> None:
        transaction.append(Record(Kind.BOOT, self._clock.new_id(), self._clock.now(), {"boot": {}}))

    def note(self) -> str:
        size = self.anchors.size()
        return sign_checkpoint(Checkpoint(ORIGIN, size, self.anchors.root_at(size)), LOG)

    def _covered(self) -> int:
        note = self.anchors.newest_checkpoint()
        return 0 if note is None else read_checkpoint(note).checkpoint.size


class Witnessing:
    """A witness that can be switched off and on again; its memory lies in a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir()
        self._memory = folder / "witness.db"
        make_memory(self._memory)
        self._signer = FileSigner(Ed25519PrivateKey.generate())
        self.key = VerifierKey(f"witness.example/{name}", SignatureType.COSIGNATURE, self._signer.public_key)
        self.name = name
        with http_port("127.0.0.1", 0) as bound:
            self.port: int = bound.getsockname()[1]
        self.line = f"witness {name} {self.key.text} http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def on(self) -> AsyncIterator[None]:
        store = WitnessStore(self._memory)
        logs = {ORIGIN: (LOG_KEY,)}
        witness = WitnessApp(self.key, self._signer, logs, store, now=lambda: 1_800_000_000, on_death=lambda _: None)
        with http_port("127.0.0.1", self.port) as bound:
            async with http_surface(witness.app(), bound):
                yield
        store.close()


async def become(condition: Callable[[], object], *, what: str) -> None:
    """Wait until `condition` holds; fail after 15 s."""
    async with asyncio.timeout(15):
        while not condition():  # noqa: ASYNC110 what is waited for is on disk or at another thread
            await asyncio.sleep(0.01)
    assert condition(), what


@asynccontextmanager
async def anchoring(journal: Journal, plan: Plan, *, run: bool = True) -> AsyncIterator[Anchoring]:
    """Checked at the start, then running."""
    async with anchor_session() as session:
        made = Anchoring(plan, journal.anchors, SetClock(), session)
        await made.check(journal.note())
        task = asyncio.ensure_future(made.run()) if run else None
        try:
            yield made
        finally:
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def witnesses(tmp_path: Path) -> list[Witnessing]:
    return [Witnessing(tmp_path / f"w{number}", f"w{number}") for number in range(3)]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "journal.db")
    yield made
    made.writer.close()
    assert made.deaths == []


def plan(witnesses: list[Witnessing], quorum: str, *kept: Path, required: bool = True) -> Plan:
    lines = [*(one.line for one in witnesses), f"group g {quorum} {' '.join(one.name for one in witnesses)}", "quorum g"]
    return Plan(parse_log_policy("\n".join(lines).encode()), kept, 0.05, required)


async def anchored(made: Anchoring, size: int) -> None:
    await become(lambda: made.status()["size"] == size, what=f"the anchor of {size}")


def standings(made: Anchoring) -> dict[str, str]:
    return {one["name"]: one["standing"] for one in made.status()["witnesses"]}


async def test_two_of_three_witnesses_are_enough_and_the_third_catches_up(
    journal: Journal, witnesses: list[Witnessing]
) -> None:
    await journal.grow(3)
    async with AsyncExitStack() as stack:
        for witness in witnesses[1:]:
            await stack.enter_async_context(witness.on())
        async with anchoring(journal, plan(witnesses, "2")) as made:
            assert standings(made) == {"w0": "unavailable", "w1": "cosigned", "w2": "cosigned"}
            for _ in range(3):
                size = await journal.grow(5)
                await anchored(made, size)
            await stack.enter_async_context(witnesses[0].on())
            size = await journal.grow(300)  # over more than one tile
            await become(lambda: set(standings(made).values()) == {"cosigned"}, what="all three")
            await become(lambda: all(one["size"] == size for one in made.status()["witnesses"]), what="all at the end")
    assert journal.anchors.cosigned() == {one.key.id: size for one in witnesses}


async def test_as_long_as_the_silent_ones_alone_are_no_quorum_a_rolled_back_log_is_found_out(
    tmp_path: Path, journal: Journal, witnesses: list[Witnessing]
) -> None:
    """Two of three: whatever was anchored, one of any two that answer has cosigned it."""
    await journal.grow(3)
    rules = plan(witnesses, "2")
    async with AsyncExitStack() as stack:
        for witness in witnesses:
            await stack.enter_async_context(witness.on())
        async with anchoring(journal, rules, run=False):
            pass
        old = old_copy(journal, tmp_path / "old.db")
        await journal.grow(4)
        async with anchoring(journal, rules, run=False) as made:
            assert made.status()["size"] == 7
    rolled_back = Journal(old)
    for silent in range(3):
        async with AsyncExitStack() as stack:
            for number, witness in enumerate(witnesses):
                if number != silent:
                    await stack.enter_async_context(witness.on())
            with pytest.raises(VerificationFailed, match="cosigned a checkpoint of 7 entries"):
                async with anchoring(rolled_back, rules, run=False):
                    pass
    with pytest.raises(Unreachable, match="too few witnesses answer"):
        async with anchoring(rolled_back, rules, run=False):
            pass
    rolled_back.writer.close()


async def test_a_log_that_grew_otherwise_after_a_restore_is_found_out(
    tmp_path: Path, journal: Journal, witnesses: list[Witnessing]
) -> None:
    rules = plan(witnesses[:1], "all")
    await journal.grow(5)
    old = old_copy(journal, tmp_path / "old.db")
    await journal.grow(2)
    async with witnesses[0].on():
        async with anchoring(journal, rules, run=False):
            pass
        other = Journal(old)
        for size in (7, 300):  # as long as what was anchored, and longer
            await other.grow(size - other.anchors.size())
            with pytest.raises(VerificationFailed, match="cosigned another log of 7 entries"):
                async with anchoring(other, rules, run=False):
                    pass
        other.writer.close()


async def test_warn_goes_on_and_anchors_once_a_witness_is_there(journal: Journal, witnesses: list[Witnessing]) -> None:
    await journal.grow(2)
    async with anchoring(journal, plan(witnesses[:1], "all", required=False)) as made:
        assert made.status()["size"] is None
        async with witnesses[0].on():
            await anchored(made, 2)


async def test_an_empty_log_is_shown_too_and_leaves_no_anchor(journal: Journal, witnesses: list[Witnessing]) -> None:
    async with witnesses[0].on(), anchoring(journal, plan(witnesses[:1], "all")) as made:
        assert standings(made) == {"w0": "cosigned"}
        assert made.status()["size"] is None
        await journal.grow(1)
        await anchored(made, 1)
    assert journal.anchors.anchors(0) == []


async def test_what_is_kept_carries_the_quorum_in_both_places_and_grows_only(
    tmp_path: Path, journal: Journal, witnesses: list[Witnessing]
) -> None:
    (tmp_path / "elsewhere").mkdir()
    kept = tmp_path / "anchored", tmp_path / "elsewhere" / "anchored"
    rules = plan(witnesses[:2], "all", *kept)
    sizes = []
    async with witnesses[0].on(), witnesses[1].on(), anchoring(journal, rules) as made:
        for _ in range(4):
            size = await journal.grow(3)
            await anchored(made, size)
            one, two = (path.read_text() for path in kept)
            assert one == two
            assert [signature.name for signature in read_checkpoint(one).signatures][1:] == [
                "witness.example/w0",
                "witness.example/w1",
            ]
            sizes.append(read_checkpoint(one).checkpoint.size)
        shutil.rmtree(tmp_path / "elsewhere")
        size = await journal.grow(1)
        await anchored(made, size)
        assert "cannot be kept" in made.status()["troubles"][str(kept[1])]
        (tmp_path / "elsewhere").mkdir()
        size = await journal.grow(1)
        await become(lambda: not made.status()["troubles"], what="the second place being there again")
    assert sizes == [3, 6, 9, 12]


@pytest.mark.openssl
async def test_anchored_checkpoints_are_stamped_and_a_silent_authority_stops_nothing(
    tmp_path: Path, journal: Journal, witnesses: list[Witnessing], openssl: str
) -> None:
    authority = TimestampAuthority(tmp_path / "authority", openssl).make()
    roots = load_authority(authority.ca)
    broken = True

    def reply(query: bytes) -> Reply:
        return Reply(b"", 503) if broken else Reply(authority.stamp(query))

    with answering(reply) as url:
        rules = plan(witnesses[:1], "all")
        rules = Plan(rules.policy, (), rules.every_seconds, required=True, authority=Authority(url, roots))
        await journal.grow(3)
        async with witnesses[0].on(), anchoring(journal, rules) as made:
            assert made.status()["size"] == 3
            assert "answers 503" in made.status()["troubles"][url]
            broken = False
            await become(lambda: made.status()["stamped"] == 3, what="the stamp")
    (stamp,) = [anchor for anchor in journal.anchors.anchors(3) if anchor.kind is AnchorKind.RFC3161]
    assert stamp.who == url
    note = journal.anchors.newest_checkpoint()
    assert note is not None
    assert check_stamp(stamp.proof, read_checkpoint(note).checkpoint, roots).proof == stamp.proof
    assert authority.verified_by_openssl(stamp.proof, (note.partition("\n\n")[0] + "\n").encode())
    log = SqliteLog(journal.path)
    (found,) = log.anchored()
    assert {anchor.kind for anchor in found.anchors} == set(AnchorKind)
    log.close()


def old_copy(journal: Journal, path: Path) -> Path:
    """A backup of the journal as it is now, write-ahead log included."""
    for suffix in ("", "-wal"):
        shutil.copy2(f"{journal.path}{suffix}", f"{path}{suffix}")
    return path
