"""An MCP server over stdio whose tools try to get out of where they run. Standard library only.

Each tool answers `escaped: …` or `held: …`. Nothing it does changes the machine: what could is done to a target that the
caller names, in a namespace or a child of its own, or is an open without a write.
"""

import ctypes
import fcntl
import json
import os
import signal
import socket
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x10000000, 0x20000000, 0x40000000
PTRACE_SEIZE = 0x4206
MS_REC, MS_PRIVATE = 0x4000, 0x40000
MEBIBYTE = 1 << 20


class Held(Exception):
    """It did not get out."""


def read_file(path: str) -> str:
    return f"read {len(Path(path).read_bytes())} bytes"


def write_file(path: str) -> str:
    with open(path, "w") as file:
        file.write("changed")
    return "wrote"


def open_for_writing(paths: list[str]) -> str:
    """Opens, writes nothing."""
    for path in paths:
        try:
            os.close(os.open(path, os.O_WRONLY))
        except OSError:
            continue
        return f"opened {path}"
    raise Held("none can be opened")


def connect(host: str, port: int) -> str:
    with socket.create_connection((host, port), timeout=2):
        return "connected"


def connect_unix(path: str) -> str:
    """`@` at the front stands for the NUL of an abstract name."""
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(2)
        one.connect("\0" + path[1:] if path.startswith("@") else path)
    return "connected"


def ask_by_udp(host: str, port: int) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(2)
        one.sendto(b"?", (host, port))
        return f"answered {one.recv(16)!r}"


def raw_socket() -> str:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
    return "made"


def machine_socket() -> str:
    """To the host of a virtual machine: in no network namespace. Made, not connected."""
    socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).close()
    return "made"


def packet_socket() -> str:
    socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM).close()
    return "made"


def ring_of_keys(number: int) -> str:
    """keyctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, create=0)."""
    _called("syscall", number, 0, -4, 0)
    return "found"


def ring_of_calls() -> str:
    """io_uring_setup(4, &params), which has the same number on every machine."""
    os.close(_called("syscall", 425, 4, ctypes.create_string_buffer(120)))
    return "made"


def kill_process(pid: int) -> str:
    os.kill(pid, signal.SIGTERM)
    return "sent"


def trace_process(pid: int) -> str:
    """Until the child that does it ends."""
    return _in_child(lambda: _called("ptrace", PTRACE_SEIZE, pid, 0, 0))


def environment_of(pid: int, name: str) -> str:
    if f"{name}=".encode() not in Path(f"/proc/{pid}/environ").read_bytes():
        raise Held("another process")
    return "read"


def environment_everywhere(name: str) -> str:
    """Of every process that can be seen."""
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"{name}=".encode() in (entry / "environ").read_bytes():
                return f"read of {entry.name}"
        except OSError:
            continue
    raise Held("no process has it")


def unbounded_process(processes: int, candidates: list[str]) -> str:
    """One that may be written into, and may have more processes than these."""
    for name in candidates or sorted(entry.name for entry in Path("/proc").iterdir() if entry.name.isdigit()):
        try:
            os.close(os.open(f"/proc/{name}/mem", os.O_RDWR))
            (line,) = (one for one in Path(f"/proc/{name}/limits").read_text().splitlines() if "processes" in one)
        except OSError:
            continue
        hard = line.split()[3]
        if hard == "unlimited" or int(hard) > processes:
            return f"process {name}"
    raise Held("each is bounded")


def inherited_file(content: str) -> str:
    for number in range(3, 256):
        try:
            if os.pread(number, 64, 0).decode() == content:
                return f"file {number}"
        except OSError:
            continue
    raise Held("no open file has it")


def mount() -> str:
    """Over a folder of its own, in a mount namespace of its own."""

    def work() -> None:
        _called("unshare", CLONE_NEWNS)
        _called("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)
        _called("mount", b"tmpfs", b"/tmp", b"tmpfs", 0, None)

    return _in_child(work)


def new_namespace(flag: int) -> str:
    return _in_child(lambda: _called("unshare", flag))


def enter_namespace(kind: str) -> str:
    def work() -> None:
        fd = os.open(f"/proc/self/ns/{kind}", os.O_RDONLY)
        _called("setns", fd, 0)

    return _in_child(work)


def chroot() -> str:
    return _in_child(lambda: os.chroot("/"))


def make_device(path: str) -> str:
    """The device of /dev/null: harmless where it comes about."""
    os.mknod(path, 0o20666, os.makedev(1, 3))
    os.unlink(path)
    return "made"


def through_symlink(folder: str, target: str) -> str:
    link = Path(folder, "link")
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    return f"read {len(link.read_bytes())} bytes"


def through_hardlink(folder: str, target: str) -> str:
    """Of a file that may only be read: written to by another name."""
    link = Path(folder, "hardlink")
    link.unlink(missing_ok=True)
    link.hardlink_to(target)
    link.write_text("changed")
    return "wrote"


def read_repeatedly(path: str, times: int) -> str:
    """What is read at `path`, however it changes meanwhile."""
    seen: set[str] = set()
    for _ in range(times):
        try:
            seen.add(Path(path).read_text())
        except OSError:
            seen.add("")
    return json.dumps(sorted(seen))


def fork_bomb(wanted: int) -> str:
    """Children that wait for their parent, up to `wanted` of them; all are gone at the end."""
    reader, writer = os.pipe()
    born: list[int] = []
    try:
        for _ in range(wanted):
            pid = os.fork()
            if pid == 0:
                os.close(writer)
                os.read(reader, 1)
                os._exit(0)
            born.append(pid)
    except OSError as error:
        raise Held(f"after {len(born)} processes: {error.strerror}") from error
    finally:
        os.close(writer)
        for pid in born:
            os.waitpid(pid, 0)
        os.close(reader)
    return f"{len(born)} processes"


def fill_memory(mebibytes: int) -> str:
    held: list[bytearray] = []
    try:
        for _ in range(mebibytes // 16):
            held.append(bytearray(16 * MEBIBYTE))  # noqa: PERF401
    except MemoryError as error:
        raise Held(f"after {16 * len(held)} MiB") from error
    return f"{mebibytes} MiB"


def fill_file(path: str, mebibytes: int) -> str:
    try:
        with open(path, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, mebibytes * MEBIBYTE)
    finally:
        Path(path).unlink(missing_ok=True)
    return f"{mebibytes} MiB"


def fill_folder(folder: str, mebibytes: int) -> str:
    """In files of 1 MiB."""
    made: list[Path] = []
    try:
        for number in range(mebibytes):
            made.append(Path(folder, f"fill-{number}"))
            with made[-1].open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, MEBIBYTE)
    finally:
        for path in made:
            path.unlink(missing_ok=True)
    return f"{mebibytes} MiB"


def type_into_terminal() -> str:
    """One character, as if typed there."""
    for path in ("/dev/tty", "/proc/self/fd/0", "/dev/stdin"):
        try:
            fcntl.ioctl(os.open(path, os.O_RDWR | os.O_NOCTTY), termios.TIOCSTI, b"x")
        except OSError:
            continue
        return "typed"
    raise Held("no terminal takes it")


PROBES: dict[str, Callable[..., str]] = {
    probe.__name__: probe
    for probe in (
        *(
            read_file,
            write_file,
            open_for_writing,
            connect,
            connect_unix,
            ask_by_udp,
            raw_socket,
            machine_socket,
            packet_socket,
            ring_of_keys,
            ring_of_calls,
            kill_process,
        ),
        *(
            trace_process,
            unbounded_process,
            environment_of,
            environment_everywhere,
            inherited_file,
            mount,
            new_namespace,
            enter_namespace,
        ),
        *(chroot, make_device, through_symlink, through_hardlink, read_repeatedly, fork_bomb, fill_memory, fill_file),
        *(fill_folder, type_into_terminal),
    )
}


def _called(name: str, *arguments: Any) -> int:
    result: int = getattr(LIBC, name)(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _in_child(work: Callable[[], object]) -> str:
    """Whether a child can do it; this process stays as it is."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001
            os._exit(1)
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0:
        raise Held("a child could not")
    return "a child could"


def tried(name: str, arguments: dict[str, Any]) -> str:
    """What came of it."""
    try:
        return f"escaped: {PROBES[name](**arguments)}"
    except (Held, OSError) as error:
        return f"held: {type(error).__name__} {error}"


def main() -> None:
    for line in sys.stdin:
        message = json.loads(line)
        match message.get("method"):
            case "initialize":
                info = {"name": "probes", "version": "1"}
                result: dict[str, Any] = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
            case "tools/list":
                schema = {"type": "object", "additionalProperties": True}
                result = {"tools": [{"name": name, "inputSchema": schema} for name in PROBES]}
            case "tools/call":
                text = tried(message["params"]["name"], message["params"].get("arguments", {}))
                result = {"content": [{"type": "text", "text": text}]}
            case _ if "id" in message:
                error = {"code": -32601, "message": "no such method"}
                print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "error": error}), flush=True)
                continue
            case _:
                continue
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)


if __name__ == "__main__":
    main()
