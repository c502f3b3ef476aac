"""`log export` writes static files that never change, and `log verify --dir` finds whatever was done to them."""

import os
import shutil
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.adapters.keys import load_trusted_keys
from gateway.core.checkpoint import read_checkpoint
from gateway.core.tiles import TileName, bundle, tile_names, unbundle
from gateway.core.verifier_key import SignatureType, VerifierKey, parse_verifier_key
from tests.edge.box import Said, run_cli
from tests.running import RunningGateway, until
from tests.store.filled import fill

SIZE = 600
KEYS_OF = "keys/public.json"
Change = Callable[[Path], None]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder that no gateway owns, with a log of `SIZE` entries."""
    return fill(tmp_path_factory.mktemp("state"), SIZE)


@pytest.fixture(scope="module")
def exported(state: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "log"
    said = export(state, folder)
    assert said.code == 0, said.stderr
    return folder


@pytest.fixture
def copy(exported: Path, tmp_path: Path) -> Path:
    """An export in the hands of someone who may write to it."""
    folder = tmp_path / "copy"
    shutil.copytree(exported, folder)
    return folder


def export(state: Path, folder: Path) -> Said:
    return run_cli("log", "export", str(folder), state=state)


def verify(state: Path, folder: Path, *words: str) -> Said:
    keys = ("--keys", str(state / KEYS_OF))
    return run_cli("log", "verify", "--dir", str(folder), *keys, *words, state=Path("/nonexistent"))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_export_is_a_tiled_log_with_its_keys_and_nothing_else(state: Path, exported: Path) -> None:
    wanted = {name.path for name in tile_names(SIZE)} | {"checkpoint", "public.json", "log.vkey"}
    assert set(files(exported)) == wanted
    assert (exported / "public.json").read_bytes() == (state / KEYS_OF).read_bytes()
    key = parse_verifier_key((exported / "log.vkey").read_text().rstrip("\n"))
    trusted = load_trusted_keys(state / KEYS_OF)
    assert key.name == trusted.origin
    assert [key.public_key] == [period.key.public_bytes_raw() for period in trusted.log_keys.values()]


def test_an_export_verifies_without_the_state_folder(state: Path, exported: Path) -> None:
    said = verify(state, exported)
    assert said.code == 0, said
    assert said.stdout.startswith(f"OK: {SIZE} entries (")


def test_a_second_run_adds_what_is_new_and_changes_no_tile(tmp_path: Path) -> None:
    state, folder = fill(tmp_path / "state", 300), tmp_path / "log"
    assert export(state, folder).code == 0
    earlier = files(folder)
    fill(state, 700)
    said = export(state, folder)
    assert "700 entries" in said.stderr
    assert "400 of them new" in said.stderr
    now = files(folder)
    assert {name.path for name in tile_names(700)} <= set(now)
    full = {name.path for name in tile_names(300) if not name.partial}
    assert {path: earlier[path] for path in full} == {path: now[path] for path in full}
    assert verify(state, folder).code == 0
    assert "0 of them new; 0 files" in export(state, folder).stderr
    assert files(folder) == now


def test_partial_tiles_go_once_the_full_one_is_there(tmp_path: Path) -> None:
    state, folder = fill(tmp_path / "state", 200), tmp_path / "log"
    export(state, folder)
    assert (folder / "tile/0/000.p/200").exists()
    fill(state, 250)
    export(state, folder)
    assert (folder / "tile/0/000.p/200").exists(), "an auditor may still hold the checkpoint of 200 entries"
    fill(state, 257)
    export(state, folder)
    assert not (folder / "tile/0/000.p").exists()
    assert not (folder / "tile/entries/000.p").exists()
    assert set(files(folder)) == {name.path for name in tile_names(257)} | {"checkpoint", "public.json", "log.vkey"}


def test_an_export_that_was_cut_short_is_completed(state: Path, exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "log"
    shutil.copytree(exported, folder)
    for path in ("checkpoint", "tile/entries/001", "tile/1/000.p/2"):
        (folder / path).unlink()
    assert verify(state, folder).code == 1
    assert export(state, folder).code == 0
    assert files(folder) == files(exported)


def flip(path: str, place: int = 40) -> Change:
    def change(folder: Path) -> None:
        data = bytearray((folder / path).read_bytes())
        data[place] ^= 1
        (folder / path).write_bytes(data)

    return change


def remove(path: str) -> Change:
    return lambda folder: (folder / path).unlink()


def lengthen(path: str) -> Change:
    def change(folder: Path) -> None:
        with (folder / path).open("ab") as file:
            file.write(b"\0")

    return change


def swap_entries(folder: Path) -> None:
    name = TileName(None, 1)
    entries = unbundle((folder / name.path).read_bytes(), name)
    entries[3], entries[4] = entries[4], entries[3]
    (folder / name.path).write_bytes(bundle(entries))


def swap_bundles(folder: Path) -> None:
    one, other = folder / "tile/entries/000", folder / "tile/entries/001"
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


CHANGES: dict[str, Change] = {
    "a byte of an entry": flip("tile/entries/000"),
    "a byte of a partial bundle": flip("tile/entries/002.p/88", 700),
    "a byte of a leaf": flip("tile/0/001"),
    "a byte of a partial tile": flip("tile/0/002.p/88"),
    "a byte of a higher tile": flip("tile/1/000.p/2"),
    "a byte of the checkpoint's root": flip("checkpoint", 25),
    "a byte of the checkpoint's signature": flip("checkpoint", 120),
    "a length": flip("tile/entries/000", 1),
    "an entry moved": swap_entries,
    "bundles swapped": swap_bundles,
    "a bundle removed": remove("tile/entries/001"),
    "a tile removed": remove("tile/0/000"),
    "a higher tile removed": remove("tile/1/000.p/2"),
    "a bundle longer": lengthen("tile/entries/001"),
    "a tile longer": lengthen("tile/0/002.p/88"),
    "a higher tile longer": lengthen("tile/1/000.p/2"),
    "a checkpoint longer": lengthen("checkpoint"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_export_ends_with_6(state: Path, copy: Path, change: str) -> None:
    CHANGES[change](copy)
    said = verify(state, copy)
    assert said.code == 6, said
    assert "Traceback" not in said.stderr


def test_an_export_that_was_put_back_is_found_with_a_kept_checkpoint(tmp_path: Path) -> None:
    state, old, new = fill(tmp_path / "state", 300), tmp_path / "old", tmp_path / "new"
    export(state, old)
    fill(state, 400)
    export(state, new)
    assert verify(state, new, "--checkpoint", str(old / "checkpoint")).code == 0
    assert verify(state, old).code == 0
    said = verify(state, old, "--checkpoint", str(new / "checkpoint"))
    assert said.code == 6
    assert "truncated" in said.stdout


def test_files_that_are_there_with_other_bytes_are_not_written_over(state: Path, copy: Path) -> None:
    (copy / "checkpoint").unlink()
    flip("tile/0/001")(copy)
    changed = (copy / "tile/0/001").read_bytes()
    said = export(state, copy)
    assert said.code == 6
    assert "tile/0/001 is there with other bytes" in said.stderr
    assert (copy / "tile/0/001").read_bytes() == changed
    assert not (copy / "checkpoint").exists()


def test_a_log_that_does_not_begin_with_what_was_exported_is_not_exported(state: Path, tmp_path: Path) -> None:
    """Another log under the same keys: the old one was rolled back and went on differently."""
    back, folder = tmp_path / "back", tmp_path / "log"
    shutil.copytree(state, back)
    for path in back.glob("journal.db*"):
        path.unlink()
    export(state, folder)
    before = files(folder)
    fill(back, 300)
    said = export(back, folder)
    assert said.code == 6
    assert "it was cut" in said.stderr
    fill(back, 800)
    said = export(back, folder)
    assert said.code == 6
    assert f"does not begin with the {SIZE} entries" in said.stderr
    assert files(folder) == before


def test_an_export_of_another_deployment_is_not_brought_up_to_date(exported: Path, copy: Path, tmp_path: Path) -> None:
    other = fill(tmp_path / "other", SIZE + 10)
    said = export(other, copy)
    assert said.code == 6
    assert "is not to be trusted" in said.stderr
    assert files(copy) == files(exported)


def test_a_folder_with_other_things_is_left_alone(state: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    said = export(state, tmp_path)
    assert said.code == 1
    assert "holds no exported log" in said.stderr
    assert set(files(tmp_path)) == {"notes.txt"}


def test_a_file_in_the_way_is_told(state: Path, tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a file")
    assert "error[store.failed]" in export(state, tmp_path / "log").stderr
    assert "error[store.failed]" in verify(state, tmp_path / "nothing").stderr


@pytest.mark.parametrize("change", ["UPDATE tiles SET hashes = zeroblob(64) WHERE level = 1", "DELETE FROM tiles"])
def test_a_log_whose_tiles_are_not_its_own_is_not_exported(state: Path, tmp_path: Path, change: str) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(state, damaged)
    with closing(apsw.Connection(str(damaged / "journal.db"))) as db:
        db.execute(change)
    said = export(damaged, tmp_path / "log")
    assert said.code == 6
    assert not (tmp_path / "log" / "checkpoint").exists()


def test_a_running_gateway_exports_what_it_has(tmp_path: Path) -> None:
    gateway, folder = RunningGateway(tmp_path), tmp_path / "log"
    fill(gateway.state, SIZE)
    gateway.verb = "serve"
    caller = "{principal: user:a, token_sha256: " + "ab" * 32 + "}"
    gateway.configure(f"log: {{origin: test.example/log}}\nmcpServers: {{}}\ncallers: [{caller}]\n")
    with gateway:
        until(lambda: export(gateway.state, folder).code == 0 and size(folder) == SIZE + 1, what="the boot entry exported")
        assert verify(gateway.state, folder).code == 0


def size(folder: Path) -> int:
    return read_checkpoint((folder / "checkpoint").read_text()).checkpoint.size


def pipe(path: Path) -> None:
    os.mkfifo(path)


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def folder_there(path: Path) -> None:
    path.mkdir()


ODD: dict[str, Change] = {
    "a pipe": pipe,
    "a socket": listening,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to a file outside": lambda path: path.symlink_to(__file__),
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a folder": folder_there,
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["checkpoint", "cosigned", "tile/entries/001", "tile/1/000.p/2"])
@pytest.mark.parametrize("odd", ODD)
def test_only_ordinary_files_of_an_export_are_read(state: Path, copy: Path, name: str, odd: str) -> None:
    (copy / name).unlink(missing_ok=True)
    ODD[odd](copy / name)
    policy = copy.parent / "policy"
    witness = VerifierKey(
        "w.example", SignatureType.COSIGNATURE, Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    )
    policy.write_text(f"witness w {witness.text}\nquorum w\n")
    said = verify(state, copy, *(("--policy", str(policy)) if name == "cosigned" else ()))
    assert said.code == 6, said
    assert f"{copy / name} is no ordinary file" in said.stderr
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize("part", ["tile", "tile/0", "tile/entries"])
def test_a_linked_folder_of_an_export_is_not_entered_though_the_right_files_are_there(
    state: Path, exported: Path, copy: Path, part: str
) -> None:
    shutil.rmtree(copy / part)
    (copy / part).symlink_to(exported / part)
    said = verify(state, copy)
    assert (said.code, "is no ordinary file" in said.stderr) == (6, True), said


def test_the_folder_itself_may_be_named_by_a_link(state: Path, exported: Path, tmp_path: Path) -> None:
    (tmp_path / "newest").symlink_to(exported)
    assert verify(state, tmp_path / "newest").code == 0


@pytest.mark.timeout(60)
def test_an_export_is_not_brought_up_to_date_through_a_pipe(state: Path, copy: Path) -> None:
    (copy / "checkpoint").unlink()
    pipe(copy / "checkpoint")
    said = export(state, copy)
    assert (said.code, "is no ordinary file" in said.stderr) == (6, True), said
