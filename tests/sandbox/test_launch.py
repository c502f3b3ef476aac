"""A sandbox is made, or nothing is started; what runs in it works, and ends with the gateway."""

import os
import pty
import shutil
import subprocess
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.adapters.upstream.program import find_program
from gateway.adapters.upstream.sandbox import pinned, sandboxed
from gateway.adapters.upstream.spec import Sandbox, StdioSpec
from gateway.adapters.upstream.status import State
from gateway.core.errors import ConfigError
from tests.node.conftest import node_modules  # noqa: F401 - a fixture
from tests.running import REPOSITORY, RunningGateway, until
from tests.sandbox.conftest import PROBES, Machine, Unsandboxed
from tests.upstream.world import QUICK, all_children, eventually, running, sdk_stdio

pytestmark = [pytest.mark.anyio, pytest.mark.bwrap]

NOBODY = 65534


# -- what runs in it


async def test_a_python_server_of_a_virtual_environment_needs_nothing_declared(tmp_path: Path) -> None:
    async with running(replace(sdk_stdio(), cwd=str(tmp_path), sandbox=Sandbox())) as world:
        assert await world.text("sdk", "echo", {"a": 1}) == '{"a": 1}'
        assert world.status("sdk").sandbox == "bubblewrap"


@pytest.mark.node
async def test_a_node_server_needs_its_data_declared_only(node_modules: Path, machine: Machine) -> None:  # noqa: F811
    script = node_modules / "@modelcontextprotocol" / "server-filesystem" / "dist" / "index.js"
    spec = StdioSpec(
        "files",
        str(node_modules / ".bin" / "node"),
        (str(script), str(machine.data)),
        limits=QUICK,
        sandbox=Sandbox(write=(str(machine.data),)),
    )
    async with running(spec) as world:
        assert world.status("files").state is State.UP, world.status("files").stderr_tail
        await world.text("files", "write_file", {"path": str(machine.data / "note"), "content": "by Node"})
    assert (machine.data / "note").read_text() == "by Node"


async def test_with_network_it_connects_and_is_held_all_the_same(machine: Machine) -> None:
    async with running(machine.spec(network=True)) as world:
        place = {"host": "127.0.0.1", "port": machine.tcp_port}
        assert await world.text("probes", "connect", place) == "escaped: connected"
        for tool, path in [("connect_unix", machine.state / "control.sock"), ("read_file", machine.key)]:
            assert (await world.text("probes", tool, {"path": str(path)})).startswith("held: ")


async def test_its_home_is_its_own_and_only_its_own_variables_reach_it(machine: Machine) -> None:
    spec = replace(machine.spec(), env={"API_KEY": "its own"})
    line = sandboxed(pinned(spec), spec.sandbox or Sandbox(), {"HOME": "/home/operator", "LANG": "C.UTF-8"})
    line.close()
    assert line.env["HOME"] == "/tmp/home"
    assert line.env["API_KEY"] == "its own"
    assert "its own" not in line.argv, "others can see a command line"
    assert set(line.env) == {"HOME", "LANG", "PATH", "API_KEY"}


async def test_it_is_gone_when_the_gateway_has_left_it(machine: Machine) -> None:
    before = all_children()
    async with running(machine.spec()) as world:
        assert world.status("probes").state is State.UP
        assert all_children() - before
    await eventually(lambda: not all_children() - before)


async def test_it_is_gone_when_the_gateway_was_killed(machine: Machine, tmp_path: Path) -> None:
    gateway = RunningGateway(tmp_path)
    gateway.configure(_config(machine))
    gateway.start()
    try:
        until(lambda: _status(gateway)["state"] == "up", what="the server")
        assert _status(gateway)["sandbox"] == "bubblewrap"
        assert "bubblewrap" in gateway.run("status").stdout
        mine = set(_running(machine))
        assert mine
    finally:
        gateway.kill()
    until(lambda: not mine & set(_running(machine)), what="the end of the server")


def _config(machine: Machine, sandbox: str = "bubblewrap") -> str:
    return (
        f"mcpServers: {{probes: {{command: {machine.python}, args: [{PROBES}]}}}}\n"
        f"upstreams: {{probes: {{sandbox: {sandbox}}}}}\n"
        "tools: [{match: 'probes__*', mode: read_only}]\n"
    )


def _status(gateway: RunningGateway) -> dict[str, str]:
    upstream: dict[str, str] = gateway.json("status", "--json")["upstreams"][0]
    return upstream


def _running(machine: Machine) -> Iterator[int]:
    """Processes of the server, as this machine sees them."""
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and str(machine.python).encode() in (entry / "cmdline").read_bytes():
                yield int(entry.name)
        except OSError:
            continue


# -- a terminal


def test_nothing_is_typed_into_the_operators_terminal(machine: Machine) -> None:
    """The gateway's stdin may be a terminal. Here even the server's own stdin is, and it is the terminal of its session."""
    line = sandboxed(pinned(machine.spec()), machine.spec().sandbox or Sandbox(), {})
    for file in line.files:
        os.set_inheritable(file, True)
    for command, env, expected in [
        (list(line.argv), dict(line.env), "held: "),
        ([str(machine.python), str(PROBES)], dict(os.environ), "escaped: " if _types_in() else "held: "),
    ]:
        with _terminal() as (master, slave):
            server = Unsandboxed(["setsid", "--ctty", *command], stdin=slave, env=env)
            server.writes_to(os.fdopen(os.dup(master), "wb"))
            try:
                assert server.call("type_into_terminal").startswith(expected)
            finally:
                server.stop()
    line.close()


def _types_in() -> bool:
    """Whether this kernel lets anyone type into a terminal: since 6.2 only root may, unless told otherwise."""
    setting = Path("/proc/sys/dev/tty/legacy_tiocsti")
    return os.geteuid() == 0 or not setting.exists() or setting.read_text().strip() == "1"


@contextmanager
def _terminal() -> Iterator[tuple[int, int]]:
    master, slave = pty.openpty()
    tty.setraw(slave, termios.TCSANOW)
    try:
        yield master, slave
    finally:
        os.close(master)
        os.close(slave)


# -- another user


STARTERS = ["a user", "root"] if os.geteuid() == 0 else ["a user"]
"""Root lets nobody run the server, a user runs it as themselves. The server's own tests run as whoever runs them."""


def _shell(machine: Machine, script: str, starter: str) -> subprocess.CompletedProcess[str]:
    """What a shell in the machine's sandbox makes of a script."""
    spec = StdioSpec("shell", "/bin/sh", ("-c", script), cwd="/", sandbox=machine.spec().sandbox)
    line = sandboxed(pinned(spec), spec.sandbox or Sandbox(), {}, as_root=starter == "root")
    become: list[str] = []
    if starter != "root" and os.geteuid() == 0:
        become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    try:
        return subprocess.run(
            [*become, *line.argv],
            env=dict(line.env),
            pass_fds=line.files,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    finally:
        line.close()


@pytest.mark.parametrize("starter", STARTERS)
def test_the_same_ways_are_closed_whoever_makes_the_sandbox(starter: str, machine: Machine) -> None:
    tries = [
        f"cat {machine.key}",
        f"cat {machine.state}/keys/*",
        "cat /etc/shadow",
        f"echo x > {machine.outside}/file",
        f"echo x > {machine.given}/file",
        "echo x > /usr/bin/env",
        "echo x > /dev/x",
        "unshare -U true",
        "unshare -n true",
        f"kill -0 {os.getpid()}",
        f"cat /proc/{os.getpid()}/cmdline",
        "setpriv --reuid=0 true",
        "mount -t tmpfs none /tmp",
        "chroot / true",
    ]
    script = "".join(f"({one}) >/dev/null 2>&1 && echo 'escaped: {one}';" for one in tries)
    script += f"cat {machine.given}/file && echo && echo x > {machine.data}/by-shell && echo declared; ulimit -c; echo $HOME"
    done = _shell(machine, script, starter)
    assert done.stdout.splitlines() == ["as it was", "declared", "0", "/tmp/home"], done.stderr
    assert (machine.outside / "file").read_text() == "as it was"


@pytest.mark.parametrize("starter", STARTERS)
def test_a_fork_bomb_is_contained_whoever_makes_the_sandbox(starter: str, machine: Machine) -> None:
    script = "i=0; while [ $i -lt 200 ]; do sleep 30 & i=$((i + 1)); done; echo all of them"
    done = _shell(machine, script, starter)
    assert "all of them" not in done.stdout
    assert "fork" in done.stderr


# -- no sandbox, no server


@contextmanager
def _gateway(folder: Path, text: str, *around: str) -> Iterator[subprocess.CompletedProcess[str]]:
    """`sealgate up` inside of another sandbox, until it ends by itself."""
    (folder / "gateway.yaml").write_text(text)
    command = [*around, sys.executable, "-m", "gateway", "up", "--config", str(folder / "gateway.yaml"), "--port", "0"]
    yield subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)


def test_without_bubblewrap_the_gateway_does_not_start(machine: Machine, tmp_path: Path, bwrap: str) -> None:
    hidden = (bwrap, "--dev-bind", "/", "/", "--ro-bind", "/dev/null", os.path.realpath(bwrap))
    with _gateway(tmp_path, _config(machine), *hidden) as ended:
        assert ended.returncode == 2, ended.stderr
        assert "a sandbox is asked for, and there is no bwrap on this machine" in ended.stderr
        assert "apt-get install bubblewrap" in ended.stderr


def test_without_the_right_to_make_namespaces_the_gateway_does_not_start(
    machine: Machine, tmp_path: Path, bwrap: str
) -> None:
    held = (bwrap, "--dev-bind", "/", "/", "--unshare-user", "--disable-userns")
    with _gateway(tmp_path, _config(machine), *held) as ended:
        assert ended.returncode == 2, ended.stderr
        assert "the sandbox of upstream probes: bubblewrap cannot make it" in ended.stderr
        assert "user namespaces" in ended.stderr


@pytest.mark.parametrize(
    ("sandbox", "told"),
    [
        (Sandbox(read=("/srv/not-there",)), "/srv/not-there is not there"),
        (Sandbox(write=("/srv/not-there",)), "/srv/not-there is not there"),
    ],
)
async def test_a_declared_path_that_is_not_there_is_told_at_the_start(sandbox: Sandbox, told: str, machine: Machine) -> None:
    with pytest.raises(ConfigError) as raised:
        async with running(replace(machine.spec(), sandbox=sandbox)):
            pass
    assert told in raised.value.message
    assert raised.value.hint


async def test_a_declared_path_that_the_server_may_not_use_is_told_at_the_start(machine: Machine) -> None:
    closed = machine.folder / "closed"
    closed.mkdir(mode=0o500)
    try:
        with pytest.raises(ConfigError) as raised:
            async with running(replace(machine.spec(), sandbox=Sandbox(write=(str(closed),)))):
                pass
    finally:
        closed.rmdir()
    assert f"{closed} cannot be used by" in raised.value.message
    assert "chown" in raised.value.hint


async def test_a_program_that_is_not_there_is_down_and_stops_no_other(machine: Machine) -> None:
    missing = replace(machine.spec(), name="missing", command="/srv/no-such-program")
    async with running(missing, machine.spec()) as world:
        assert world.status("missing").state is State.DOWN
        assert world.status("missing").reason == "Its command cannot be run."
        assert world.status("probes").state is State.UP


# -- what a program brings along


def test_a_program_in_a_home_brings_only_itself(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "bin").mkdir(parents=True)
    (home / "lib").mkdir()
    tool = home / "bin" / "tool"
    tool.write_text("#!/usr/bin/env sh\n")
    tool.chmod(0o755)
    assert find_program(str(tool), (), "/", os.environ["PATH"]).needs == (str(tool),)


@pytest.mark.parametrize("mark", ["lib/node_modules/x", "lib/python3.11/os.py", "pyvenv.cfg"])
def test_a_home_that_is_an_installation_as_well_brings_only_the_parts_of_one(mark: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    for name in ("bin/tool", ".ssh/id_ed25519", "Documents/letter", mark):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("")
    (home / "bin" / "tool").chmod(0o755)
    needs = find_program(str(home / "bin" / "tool"), (), "/", os.environ["PATH"]).needs
    assert {os.path.relpath(need, home) for need in needs} == {"bin", mark.partition("/")[0]}


def test_a_virtual_environment_brings_the_interpreter_it_was_made_with(machine: Machine) -> None:
    program = find_program("python", (str(PROBES), "data.json"), "/", str(machine.python.parent))
    assert program.path == str(machine.python)
    assert {str(machine.folder / "venv" / part) for part in ("bin", "lib", "pyvenv.cfg")} <= set(program.needs)
    assert str(PROBES) in program.needs
    base = os.path.realpath(sys.base_prefix)
    assert base.startswith("/usr") or f"{base}/lib" in map(os.path.realpath, program.needs)
    assert all(need != "/" and need not in os.path.expanduser("~") for need in program.needs)


def test_a_script_brings_its_interpreter_and_its_packages(machine: Machine, tmp_path: Path) -> None:
    package = tmp_path / "node_modules" / "tool"
    package.mkdir(parents=True)
    (package / "index.js").write_text("//")
    script = tmp_path / "run"
    script.write_text(f"#!{machine.python} -I\n")
    script.chmod(0o755)
    needs = find_program(str(script), ("node_modules/tool/index.js",), str(tmp_path), "/usr/bin").needs
    assert {str(script), str(machine.folder / "venv" / "lib"), str(tmp_path / "node_modules")} <= set(needs)


def test_a_circle_of_links_ends(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(FileNotFoundError):
        find_program(str(tmp_path / "a"), (), "/", "/usr/bin")
    tool = tmp_path / "tool"
    tool.write_text(f"#!{tool}\n")
    tool.chmod(0o755)
    assert find_program(str(tool), (), "/", "/usr/bin").needs == (str(tool),)


def test_a_program_of_the_system_brings_nothing() -> None:
    assert shutil.which("sh", path="/usr/bin:/bin") is not None
    assert find_program("sh", ("-c", "x"), "/", "/usr/bin:/bin").needs == ()
