"""The Go program that auditors are given, on logs that no gateway wrote: long, cosigned, and such as are none."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.adapters.keys import FileSigner
from gateway.core.checkpoint import Checkpoint, sign_checkpoint
from gateway.core.cosignature import cosign
from gateway.core.merkle import Frontier, leaf_hash
from gateway.core.tiles import HASH_BYTES, WIDTH, TileEdge, TileName, bundle, partial_widths
from gateway.core.verifier_key import SignatureType, VerifierKey
from tests.docs.pages import ROOT

pytestmark = [pytest.mark.long, pytest.mark.go]
ORIGIN = "example.org/log"
LONG = 1000 * WIDTH + 300
"""More than a thousand tiles: their numbers need a second part of the path."""


@dataclass(frozen=True)
class Log:
    """A log of tiny entries in the form of C2SP tlog-tiles, and the file of its keys."""

    folder: Path
    keys: Path
    checkpoint: Checkpoint

    @classmethod
    def write(cls, folder: Path, size: int) -> "Log":
        signer = FileSigner(Ed25519PrivateKey.generate())
        entries = [b"%d" % number for number in range(size)]
        frontier, edge = Frontier(), TileEdge()
        found: dict[TileName, bytes] = {}
        for entry in entries:
            frontier.append(leaf_hash(entry))
            for tile in edge.append(leaf_hash(entry)):
                found[TileName(tile.level, tile.index)] = tile.hashes
        for level, width in enumerate(partial_widths(size)):
            index = size // WIDTH ** (level + 1)
            if level == 0:
                hashes = b"".join(map(leaf_hash, entries[index * WIDTH :]))
            else:
                hashes = found.pop(TileName(level, index), b"")
            if width:
                found[TileName(level, index, width)] = hashes[: width * HASH_BYTES]
        for number in range(0, size, WIDTH):
            part = entries[number : number + WIDTH]
            found[TileName(None, number // WIDTH, len(part))] = bundle(part)
        for name, data in found.items():
            (folder / name.path).parent.mkdir(parents=True, exist_ok=True)
            (folder / name.path).write_bytes(data)
        checkpoint = Checkpoint(ORIGIN, size, frontier.root())
        (folder / "checkpoint").write_text(sign_checkpoint(checkpoint, signer))
        keys = folder / "log.keys"
        keys.write_text(f"{VerifierKey(ORIGIN, SignatureType.ED25519, signer.public_key).text} 0\n")
        return cls(folder, keys, checkpoint)


@pytest.fixture(scope="session")
def auditor(go: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, built."""
    built = tmp_path_factory.mktemp("auditor") / "auditor"
    done = subprocess.run(
        [go, "build", "-C", str(ROOT / "tests" / "auditor"), "-mod=readonly", "-o", str(built), "."],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return built


def ran(program: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(program), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def long_log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    return Log.write(tmp_path_factory.mktemp("long"), LONG)


def test_a_log_of_more_than_a_thousand_tiles_is_read_by_the_program_and_by_the_page(auditor: Path, long_log: Log) -> None:
    assert ran(auditor, "log", long_log.keys, long_log.folder).stdout.startswith(f"OK: {LONG} entries, ")
    for index in (0, 999 * WIDTH, 1000 * WIDTH + 1, LONG - 1):
        done = ran(auditor, "entry", long_log.keys, long_log.folder, index)
        assert (done.stdout, done.stderr) == (str(index), f"OK: entry {index} of {LONG}\n")
    page = (ROOT / "docs" / "how-to" / "audit-without-us.md").read_text()
    (reader,) = re.findall(r"^cat > cut\.py <<'EOF'\n(.*?)^EOF$", page, re.MULTILINE | re.DOTALL)
    known: dict[str, object] = {"__name__": "cut"}
    exec(compile(reader, "cut.py", "exec"), known)  # noqa: S102 the page's own words
    entries = known["entries"]
    assert callable(entries)
    assert list(entries(long_log.folder)) == [b"%d" % number for number in range(LONG)]


def test_a_witnesss_cosignature_is_passed_over_and_that_of_the_log_counts(auditor: Path, tmp_path: Path) -> None:
    log = Log.write(tmp_path, 3)
    witness = FileSigner(Ed25519PrivateKey.generate())
    key = VerifierKey("witness.example/w1", SignatureType.COSIGNATURE, witness.public_key)
    with (log.folder / "checkpoint").open("a") as note:
        note.write(cosign(log.checkpoint, key, witness, 1_700_000_000))
    assert ran(auditor, "log", log.keys, log.folder).returncode == 0
    log.keys.write_text(f"{VerifierKey(ORIGIN, SignatureType.ED25519, witness.public_key).text} 0\n")
    assert "no verifiable signatures" in ran(auditor, "log", log.keys, log.folder).stderr


@pytest.mark.parametrize(("sizes", "counts"), [("0", True), ("3", True), ("0 3", True), ("0 2", False), ("4", False)])
def test_a_log_key_counts_for_its_sizes_only(auditor: Path, tmp_path: Path, sizes: str, counts: bool) -> None:
    log = Log.write(tmp_path, 3)
    log.keys.write_text(f"{log.keys.read_text().split()[0]} {sizes}\n")
    done = ran(auditor, "log", log.keys, log.folder)
    assert (done.returncode == 0) is counts
    assert ("no key of example.org/log that counts at size 3" in done.stderr) is not counts


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("log",),
        ("log", "log.keys", "elsewhere"),
        ("log", "elsewhere", "."),
        ("log", "checkpoint", "."),
        ("walk", "log.keys", "."),
        ("entry", "log.keys", "."),
        ("entry", "log.keys", ".", "3"),
        ("entry", "log.keys", ".", "-1"),
        ("entry", "log.keys", ".", "x"),
        ("extends", "log.keys", ".", "log.keys"),
        ("proof", "log.keys", "checkpoint"),
        ("proof", "log.keys", "log.keys"),
    ],
)
def test_what_is_no_log_is_refused_in_one_line(auditor: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    Log.write(tmp_path, 3)
    done = subprocess.run([str(auditor), *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch("auditor: .+\n", done.stderr)
