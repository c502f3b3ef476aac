"""What a sandbox binds is what it was when the gateway was started, at every start of its server."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.adapters.upstream.pins import Moved
from gateway.adapters.upstream.sandbox import pinned, sandboxed
from gateway.adapters.upstream.spec import Sandbox, StdioSpec
from gateway.adapters.upstream.status import State
from gateway.core.errors import ConfigError
from gateway.core.reply import NoAnswer
from tests.sandbox.conftest import Machine
from tests.upstream.world import eventually, raw_stdio, running

pytestmark = [pytest.mark.bwrap]

WITHOUT = "A path of its sandbox leads elsewhere than when the gateway was started. Look at it, then restart."


@pytest.fixture
def place(machine: Machine) -> Iterator[Path]:
    """A folder with `app`, `job/docs` and the gateway's key, in which nobody may do everything that its user may."""
    place = machine.folder / "place"
    for name in ("app/bin", "app/lib", "job/docs", ".sealgate/keys"):
        (place / name).mkdir(parents=True)
    (place / ".sealgate/keys/entry.pem").write_text("THE ENTRY KEY")
    (place / "job/docs/entry.pem").write_text("a document")
    for folder in (place, *place.rglob("*")):
        folder.chmod(0o777)
    yield place
    shutil.rmtree(place)


def _run(spec: StdioSpec) -> str:
    """What it prints."""
    line = sandboxed(spec, spec.sandbox or Sandbox(), {})
    try:
        return subprocess.run(
            line.argv, env=dict(line.env), pass_fds=line.files, capture_output=True, text=True, timeout=30, check=False
        ).stdout
    finally:
        line.close()


def _shell(script: str, sandbox: Sandbox) -> StdioSpec:
    return pinned(StdioSpec("shell", "/bin/sh", ("-c", script), cwd="/", sandbox=sandbox))


def test_a_server_that_makes_itself_an_installation_is_given_no_more_at_its_next_start(place: Path) -> None:
    server, key = place / "app/bin/server", place / ".sealgate/keys/entry.pem"
    plant = f"[ -e {place}/app/share ] || {{ : > {place}/app/pyvenv.cfg; ln -s .. {place}/app/share; }}"
    server.write_text(f"#!/bin/sh\ncat {key} 2>/dev/null || echo held\n{plant}\n")
    server.chmod(0o755)
    spec = pinned(StdioSpec("s", str(server), cwd="/", sandbox=Sandbox(write=(f"{place}/app",))))
    assert [_run(spec), _run(spec)] == ["held\n", "held\n"]
    assert (place / "app/share").is_symlink(), "it tried"
    anew = pinned(spec)
    assert _run(anew) == "THE ENTRY KEY", "whoever looks again finds more: hence once, and nothing that a server can write"


def _link(docs: Path) -> None:
    docs.rename(docs.with_name("old"))
    docs.symlink_to("../.sealgate/keys")


def _other_folder(docs: Path) -> None:
    docs.rename(docs.with_name("old"))
    docs.mkdir(mode=0o755)


def _file(docs: Path) -> None:
    docs.rename(docs.with_name("old"))
    docs.write_text("")


def _nothing(docs: Path) -> None:
    docs.rename(docs.with_name("old"))


CHANGES = [_link, _other_folder, _file, _nothing]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("key", ["read", "write"])
def test_what_is_declared_and_is_another_thing_now_is_not_bound(
    place: Path, key: str, change: Callable[[Path], None]
) -> None:
    docs = place / "job/docs"
    sandbox = Sandbox(read=(str(docs),)) if key == "read" else Sandbox(write=(str(docs),))
    spec = _shell(f"cat {docs}/entry.pem", sandbox)
    assert _run(spec) == "a document"
    change(docs)
    with pytest.raises(Moved) as raised:
        _run(spec)
    assert f"{docs} is not what it was" in raised.value.message
    assert "restart the gateway" in raised.value.hint


def test_a_link_in_a_declared_path_leads_where_it_led(place: Path) -> None:
    (place / "link").symlink_to("job")
    spec = _shell(f"cat {place}/link/docs/entry.pem", Sandbox(read=(f"{place}/link/docs",)))
    assert _run(spec) == "a document"
    line = sandboxed(spec, spec.sandbox or Sandbox(), {})
    line.close()
    assert f"{os.path.realpath(place)}/job/docs" in line.argv, "it is bound by where it leads"
    (place / "link").unlink()
    (place / "link").symlink_to(".")
    with pytest.raises(Moved):
        _run(spec)


def test_a_file_may_be_written_anew(place: Path) -> None:
    file = place / "job/docs/entry.pem"
    spec = _shell(f"cat {file}", Sandbox(read=(str(file),)))
    (place / "new").write_text("another document")
    (place / "new").replace(file)
    assert _run(spec) == "another document"


def test_a_program_that_moved_is_not_started(place: Path) -> None:
    server = place / "app/bin/server"
    server.write_text("#!/bin/sh\necho ran\n")
    server.chmod(0o755)
    spec = pinned(StdioSpec("s", str(server), cwd="/", sandbox=Sandbox()))
    assert _run(spec) == "ran\n"
    server.rename(place / "app/bin/other")
    server.symlink_to("other")
    with pytest.raises(Moved):
        _run(spec)


def test_nothing_starts_whose_paths_were_not_found_out(machine: Machine) -> None:
    with pytest.raises(ConfigError):
        sandboxed(machine.spec(), machine.spec().sandbox or Sandbox(), {})


@pytest.mark.anyio
async def test_a_server_whose_folder_was_swapped_stays_down_and_the_operator_is_told_why(place: Path) -> None:
    docs = place / "job/docs"
    spec = replace(raw_stdio(), sandbox=Sandbox(read=(str(docs),)))
    async with running(spec) as world:
        assert world.status("raw").state is State.UP, world.status("raw").stderr_tail
        _link(docs)
        assert isinstance(await world.run("raw", "die"), NoAnswer)
        await eventually(lambda: world.status("raw").reason == WITHOUT)
        assert world.status("raw").state is State.DOWN
