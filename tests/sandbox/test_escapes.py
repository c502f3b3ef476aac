"""A hostile server tries to get out of its sandbox. Each probe is shown to work without one, so that it proves something."""

import errno
import os
import platform
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.conftest import INHERITED, PROCESSES, SECRET, Machine, Unsandboxed
from tests.sandbox.probes import CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER
from tests.upstream.world import World

pytestmark = [pytest.mark.anyio, pytest.mark.bwrap]

Arguments = dict[str, Any]


class Probe:
    """What is tried: a tool and its arguments. `harmless` are other arguments for the control, where the machine could be
    changed; `root`: without a sandbox only root gets through; `missing`: errors of a machine that has no such thing, or
    has it switched off for all."""

    def __init__(
        self,
        tool: str,
        arguments: Callable[[Machine], Arguments] = lambda machine: {},
        *,
        harmless: Callable[[Machine], Arguments] | None = None,
        root: bool = False,
        missing: tuple[int, ...] = (),
    ) -> None:
        self.tool = tool
        self.arguments = arguments
        self.harmless = harmless or arguments
        self.root = root
        self.missing = tuple(f"[Errno {number}]" for number in missing)


KEYCTL = {"x86_64": 250, "aarch64": 219}[platform.machine()]
KERNEL_SETTINGS = [
    *(
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/hostname",
        "/proc/sys/kernel/modprobe",
        "/proc/sys/vm/overcommit_memory",
    ),
    *("/proc/sysrq-trigger", "/proc/self/oom_score_adj/x", "/sys/kernel/uevent_helper", "/sys/power/state", "/dev/mem"),
]

PROBES = {
    "read a private key": Probe("read_file", lambda machine: {"path": str(machine.key)}),
    "read the gateway's own keys": Probe("read_file", lambda machine: {"path": str(next(_keys(machine)))}),
    "read the passwords of the system": Probe("read_file", lambda machine: {"path": "/etc/shadow"}, root=True),
    "write outside": Probe("write_file", lambda machine: {"path": str(machine.outside / "file")}),
    "write a new file outside": Probe("write_file", lambda machine: {"path": str(machine.outside / "new")}),
    "write to what may only be read": Probe("write_file", lambda machine: {"path": str(machine.given / "file")}),
    "write to its own interpreter": Probe(
        "write_file", lambda machine: {"path": str(next(_packages(machine)) / "evil.pth")}
    ),
    "write to its own program": Probe(
        "open_for_writing",
        lambda machine: {"paths": [str(Path(__file__).parent / "probes.py"), "/usr/bin/env"]},
        harmless=lambda machine: {"paths": [str(machine.outside / "file")]},
    ),
    "connect to a port of this machine": Probe("connect", lambda machine: {"host": "127.0.0.1", "port": machine.tcp_port}),
    "connect to the gateway's control socket": Probe(
        "connect_unix", lambda machine: {"path": str(machine.state / "control.sock")}
    ),
    "connect to an abstract socket": Probe("connect_unix", lambda machine: {"path": machine.abstract}),
    "ask by UDP, as DNS does": Probe("ask_by_udp", lambda machine: {"host": "127.0.0.1", "port": machine.udp_port}),
    "make a raw socket": Probe("raw_socket", root=True),
    "make a socket to the host of this virtual machine": Probe("machine_socket", missing=(errno.EAFNOSUPPORT,)),
    "make a socket for packets": Probe("packet_socket", root=True),
    "use a key ring": Probe("ring_of_keys", lambda machine: {"number": KEYCTL}, missing=(errno.ENOSYS, errno.EPERM)),
    "make a ring of system calls": Probe("ring_of_calls", missing=(errno.ENOSYS, errno.EPERM)),
    "read what the gateway has open": Probe("inherited_file", lambda machine: {"content": INHERITED}),
    "read the gateway's environment": Probe("environment_everywhere", lambda machine: {"name": SECRET}),
    "mount something": Probe("mount", root=True),
    "make a user namespace": Probe("new_namespace", lambda machine: {"flag": CLONE_NEWUSER}),
    "make a mount namespace": Probe("new_namespace", lambda machine: {"flag": CLONE_NEWNS}, root=True),
    "make a network namespace": Probe("new_namespace", lambda machine: {"flag": CLONE_NEWNET}, root=True),
    "make a namespace of processes": Probe("new_namespace", lambda machine: {"flag": CLONE_NEWPID}, root=True),
    "enter a namespace": Probe("enter_namespace", lambda machine: {"kind": "net"}, root=True),
    "change its root": Probe("chroot", root=True),
    "make a device": Probe("make_device", lambda machine: {"path": str(machine.data / "device")}, root=True),
    "follow a link out of a declared folder": Probe(
        "through_symlink", lambda machine: {"folder": str(machine.data), "target": str(machine.key)}
    ),
    "write by another name to what may only be read": Probe(
        "through_hardlink", lambda machine: {"folder": str(machine.data), "target": str(machine.given / "file")}
    ),
    "have more processes than it may": Probe("fork_bomb", lambda machine: {"wanted": 3 * PROCESSES}),
    "get into a process that is not bounded": Probe(
        "unbounded_process",
        lambda machine: {"processes": PROCESSES, "candidates": []},
        harmless=lambda machine: {"processes": PROCESSES, "candidates": ["self"]},
    ),
    "have more memory than it may": Probe("fill_memory", lambda machine: {"mebibytes": 512}),
    "write a larger file than it may": Probe(
        "fill_file", lambda machine: {"path": str(machine.data / "large"), "mebibytes": 16}
    ),
    "fill the temporary folder": Probe(
        "fill_folder",
        lambda machine: {"folder": "/tmp", "mebibytes": 300},
        harmless=lambda machine: {"folder": str(machine.outside), "mebibytes": 300},
    ),
    "change the kernel's settings": Probe(
        "open_for_writing",
        lambda machine: {"paths": KERNEL_SETTINGS},
        harmless=lambda machine: {"paths": [str(machine.outside / "file")]},
    ),
}


def _packages(machine: Machine) -> Iterator[Path]:
    return machine.folder.glob("venv/lib/python3*/site-packages")


def _keys(machine: Machine) -> Iterator[Path]:
    return (path for path in sorted((machine.state / "keys").rglob("*")) if path.is_file())


@pytest.fixture(autouse=True)
def as_it_was(machine: Machine) -> None:
    """What an earlier control changed."""
    for path in (machine.outside / "file", machine.given / "file"):
        path.write_text("as it was")
    (machine.outside / "new").unlink(missing_ok=True)


def test_there_are_at_least_twenty_ways_out() -> None:
    assert len(PROBES) >= 20


@pytest.mark.parametrize("name", PROBES)
async def test_a_way_out_is_closed(name: str, machine: Machine, sandboxed: World, control: Unsandboxed) -> None:
    probe = PROBES[name]
    told = await sandboxed.text("probes", probe.tool, probe.arguments(machine))
    assert told.startswith("held: "), told
    assert (machine.outside / "file").read_text() == "as it was"
    assert (machine.given / "file").read_text() == "as it was"
    assert not (machine.outside / "new").exists()
    if not probe.root or os.geteuid() == 0:
        told = control.call(probe.tool, **probe.harmless(machine))
        assert told.startswith("escaped: ") or any(map(told.count, probe.missing)), f"without a sandbox it must work: {told}"


@pytest.mark.parametrize("tool", ["kill_process", "trace_process", "environment_of"])
async def test_other_processes_are_out_of_reach(
    tool: str, machine: Machine, sandboxed: World, control: Unsandboxed, victim: "subprocess.Popen[bytes]"
) -> None:
    arguments: Arguments = {"pid": victim.pid, **({"name": SECRET} if tool == "environment_of" else {})}
    told = await sandboxed.text("probes", tool, arguments)
    assert told.startswith("held: "), told
    told = await sandboxed.text("probes", tool, {**arguments, "pid": os.getpid()})
    assert told.startswith("held: "), told
    assert victim.poll() is None
    assert control.call(tool, **arguments).startswith("escaped: ")
    if tool == "kill_process":
        assert victim.wait(10) != 0


async def test_what_is_declared_can_be_used(machine: Machine, sandboxed: World) -> None:
    assert await sandboxed.text("probes", "read_file", {"path": str(machine.given / "file")}) == "escaped: read 9 bytes"
    assert await sandboxed.text("probes", "write_file", {"path": str(machine.data / "made")}) == "escaped: wrote"
    assert (machine.data / "made").read_text() == "changed"
    assert await sandboxed.text("probes", "write_file", {"path": "/tmp/made"}) == "escaped: wrote"
    assert "made" not in os.listdir("/tmp"), "its /tmp is its own"
    assert await sandboxed.text("probes", "write_file", {"path": "/tmp/home/made"}) == "escaped: wrote"


async def test_a_link_swapped_while_the_server_looks_never_leads_out(
    machine: Machine, sandboxed: World, control: Unsandboxed
) -> None:
    """The path guard cannot rule this out: it looks once, before the call. In the sandbox there is nothing to lead to."""
    swapped, folder, link = machine.data / "swapped", machine.data / "swapped-folder", machine.data / "swapped-link"
    folder.mkdir()
    (folder / "file").write_text("inside")
    link.symlink_to(machine.outside)
    done = threading.Event()
    swaps = 0

    def swap() -> None:
        nonlocal swaps
        while not done.is_set():
            folder.rename(swapped)
            swapped.rename(folder)
            link.rename(swapped)
            swapped.rename(link)
            swaps += 1

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        arguments = {"path": str(swapped / "file"), "times": 20_000}
        told = await sandboxed.text("probes", "read_repeatedly", arguments)
        seen = control.call("read_repeatedly", **arguments)
    finally:
        done.set()
        thread.join()
    assert "as it was" in seen, "without a sandbox the link leads out"
    assert "inside" in told
    assert "as it was" not in told
    assert swaps > 100
