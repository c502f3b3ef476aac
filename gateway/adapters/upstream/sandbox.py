"""The command line that runs a stdio upstream under bubblewrap: nothing of this machine but programs, and what is declared.

What it has:

* the system's programs and libraries, its own program and interpreter (`program.py`), declared paths; all at their own
  places, read-only but for `write`; a small /dev, its own /proc, and a private /tmp of bounded size, which is also its home
* its own namespaces of users, processes, IPC, host name, cgroups, and network unless that is granted. It cannot make others
* no privileges and no way to new ones, no terminal, none of the gateway's environment, fewer system calls (`syscalls.py`),
  bounds on what it uses
* an end: it is killed with the gateway

What is bound is found out once (`pinned`), when the gateway loads, and each start binds that or does not happen (`pins.py`).

A gateway that is root runs it as `nobody`: then an outer bubblewrap, still root, lays out the files, and the inner one takes
away the rest. Root's own processes are under no bound, and root's files would be the server's.

Source: bwrap(1) of bubblewrap 0.8; user_namespaces(7); prlimit(1), setpriv(1).
"""

import asyncio
import os
import pwd
import shutil
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from gateway.adapters.upstream.lookup import is_within
from gateway.adapters.upstream.pins import Pin, Pins, pin
from gateway.adapters.upstream.program import SYSTEM, find_program, is_system
from gateway.adapters.upstream.spec import Sandbox, StdioSpec
from gateway.adapters.upstream.syscalls import filter_file
from gateway.core.errors import ConfigError

HOME = "/tmp/home"  # noqa: S108 - that of the sandbox, which is its own
SEARCH = "/usr/local/bin:/usr/bin:/bin"
UID = "1000"
TMP_BYTES = 256 << 20
SHM_BYTES = 64 << 20
PROBE_SECONDS = 10.0

ETC = Path(__file__).parent / "etc"
OWN_ETC = ("passwd", "group", "hosts")
SYSTEM_ETC = (
    *("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "localtime", "timezone", "mime.types", "protocols"),
    *(
        "services",
        "nsswitch.conf",
        "gai.conf",
        "ssl/certs",
        "ssl/openssl.cnf",
        "pki",
        "ca-certificates",
        "ca-certificates.conf",
    ),
)
"""What programs look for in /etc, and nothing that is secret."""

NETWORK_ETC = ("resolv.conf", "hosts", "host.conf")

FILTER = "(file of the filter)"
"""Stands for the number of an open file."""

ISOLATED = (
    *("--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try", "--disable-userns"),
    *("--uid", UID, "--gid", UID, "--hostname", "sandbox", "--new-session", "--die-with-parent", "--as-pid-1"),
    *("--seccomp", FILTER),
)
REAPER = ("/bin/sh", "-c", '"$@"; exit $?', "sh")
"""The first process, which waits for those that lost their parent. Not bubblewrap's own: that would be under no bound, and
the server could get into it."""

LOOK = 'while [ $# -gt 0 ]; do [ "-$1" "$2" ] || { echo "$2"; exit 3; }; shift 2; done'
INSTALL = "Install bubblewrap 0.8 or newer and util-linux (Debian, Ubuntu: apt-get install bubblewrap util-linux)."


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What to start, the environment to start it with, and open files to hand on. `close` these when it was started."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    files: tuple[int, ...] = ()

    def close(self) -> None:
        for file in self.files:
            os.close(file)


def pinned(spec: StdioSpec) -> StdioSpec:
    """The spec with what its sandbox binds.

    Raises:
        ConfigError: a declared path is not there
    """
    sandbox = spec.sandbox
    if sandbox is None:
        return spec
    read, write = (tuple(_pin_declared(spec, path) for path in paths) for paths in (sandbox.read, sandbox.write))
    try:
        program = find_program(spec.command, spec.args, _cwd(spec), _search(spec))
        pins = Pins(program.path, tuple(map(pin, program.needs)), read, write)
    except OSError:
        pins = Pins(None, (), read, write)
    return replace(spec, pins=pins)


def sandboxed(spec: StdioSpec, sandbox: Sandbox, kept: Mapping[str, str], *, as_root: bool | None = None) -> CommandLine:
    """How to start an upstream in its sandbox. `kept` are variables of ours that it may see.

    `as_root`: whether root starts it; None for whoever runs this.

    Raises:
        Moved: what it binds is not what it was when that was found out
        ConfigError: the programs that make a sandbox are not there
        FileNotFoundError: the upstream's own program was not there
    """
    pins = spec.pins
    if pins is None:
        raise ConfigError(f"{_of(spec)}: what it binds was not found out", hint="Start the server through the gateway.")
    if pins.program is None:
        raise FileNotFoundError(spec.command)
    pins.check(spec.name)
    brought = (need.path for need in pins.needs if os.path.basename(need.path) == "bin")
    folders = (os.path.dirname(pins.program), *brought, *SEARCH.split(":"))
    env = {**kept, "PATH": ":".join(dict.fromkeys(folders)), "HOME": HOME, **spec.env}
    return _line(sandbox, pins, _cwd(spec), (pins.program, *spec.args), env, as_root=as_root)


def _pin_declared(spec: StdioSpec, path: str) -> Pin:
    try:
        return pin(path)
    except OSError as error:
        raise ConfigError(f"{_of(spec)}: {path} is not there", hint="Make it, or take it out of upstreams.") from error


def _cwd(spec: StdioSpec) -> str:
    return spec.cwd or os.getcwd()


def _search(spec: StdioSpec) -> str:
    return spec.env.get("PATH") or os.environ.get("PATH", SEARCH)


async def probe(spec: StdioSpec) -> None:
    """Make the sandbox once, around a look at the declared paths. Raises `ConfigError` where that cannot be done."""
    sandbox, pins = spec.sandbox, spec.pins
    if sandbox is None or pins is None:
        return
    looks = [word for path in sandbox.read for word in ("r", path)]
    looks += [word for path in sandbox.write for mode in "rw" for word in (mode, path)]
    bare = replace(pins, needs=())
    line = _line(sandbox, bare, "/", ("/bin/sh", "-c", LOOK, "sh", *looks), {"PATH": SEARCH})
    try:
        process = await asyncio.create_subprocess_exec(
            *line.argv,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            env=line.env,
            start_new_session=True,
            pass_fds=line.files,
        )
    finally:
        line.close()
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            told, wrong = await process.communicate()
    except TimeoutError as error:
        process.kill()
        await process.wait()
        raise ConfigError(f"{_of(spec)}: it is not made within {PROBE_SECONDS:.0f} s", hint=INSTALL) from error
    if process.returncode == 3:
        path, who = told.decode(errors="replace").strip(), _as_whom()
        raise ConfigError(
            f"{_of(spec)}: {path} cannot be used by {who}, as whom the server runs",
            hint=f"Give {who} the right to it (chown, chmod), or run the gateway as a user of its own.",
        )
    if process.returncode != 0:
        cause = wrong.decode(errors="replace").strip().splitlines()[-1:] or ["no reason given"]
        raise ConfigError(
            f"{_of(spec)}: bubblewrap cannot make it: {cause[0]}",
            hint="This user must be able to make user namespaces (sysctl kernel.unprivileged_userns_clone=1, "
            "user.max_user_namespaces; AppArmor's restriction of them; seccomp and /proc masks of a container). " + INSTALL,
        )


def _line(
    sandbox: Sandbox,
    pins: Pins,
    cwd: str,
    command: Iterable[str],
    env: Mapping[str, str],
    *,
    as_root: bool | None = None,
) -> CommandLine:
    argv = _argv(sandbox, pins, cwd, command, as_root=os.geteuid() == 0 if as_root is None else as_root)
    file = filter_file()
    return CommandLine(tuple(str(file) if word is FILTER else word for word in argv), env, (file,))


def _argv(sandbox: Sandbox, pins: Pins, cwd: str, command: Iterable[str], *, as_root: bool) -> tuple[str, ...]:
    bwrap = _tool("bwrap")
    files = tuple(_files(pins, cwd, network=sandbox.network))
    isolated = (*ISOLATED, *(() if sandbox.network else ("--unshare-net",)))
    bounded = (
        _tool("prlimit"),
        *(f"--nproc={sandbox.processes}", f"--data={sandbox.memory_bytes}", f"--fsize={sandbox.file_bytes}"),
        *(f"--nofile={sandbox.open_files}", "--core=0", "--"),
        *REAPER,
        *command,
    )
    if not as_root:
        return (bwrap, *isolated, *files, "--proc", "/proc", "--remount-ro", "/", "--chdir", cwd, "--", *bounded)
    nobody = pwd.getpwnam("nobody")
    become = (_tool("setpriv"), f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups", "--")
    outer = (bwrap, "--die-with-parent", *files, "--bind", "/proc", "/proc", "--remount-ro", "/", "--", *become)
    return (*outer, bwrap, *isolated, "--dev-bind", "/", "/", "--proc", "/proc", "--chdir", cwd, "--", *bounded)


def _files(pins: Pins, cwd: str, *, network: bool) -> Iterator[str]:
    """The options that lay out the files. Outer folders come before what is in them."""
    for folder in SYSTEM:
        if os.path.islink(folder):
            yield from ("--symlink", os.readlink(folder), folder)
        elif os.path.isdir(folder):
            yield from ("--ro-bind", folder, folder)
    yield from ("--dev", "/dev", "--size", str(SHM_BYTES), "--perms", "1777", "--tmpfs", "/dev/shm")  # noqa: S108
    yield from ("--remount-ro", "/dev", "--size", str(TMP_BYTES), "--perms", "1777", "--tmpfs", "/tmp")  # noqa: S108
    yield from ("--perms", "0777", "--dir", HOME)
    bound = {f"/etc/{name}": ("--ro-bind-try", f"/etc/{name}") for name in SYSTEM_ETC}
    bound |= {f"/etc/{name}": ("--ro-bind", str(ETC / name)) for name in OWN_ETC}
    if network:
        bound |= {f"/etc/{name}": ("--ro-bind-try", f"/etc/{name}") for name in NETWORK_ETC}
    bound |= {one.path: ("--ro-bind", one.real) for one in (*pins.needs, *pins.read)}
    bound |= {one.path: ("--bind", one.real) for one in pins.write}
    there = {"/", "/tmp", "/dev", "/proc", HOME}  # noqa: S108
    for path in sorted({*bound, cwd}):
        *above, last = (*reversed(PurePosixPath(path).parents), PurePosixPath(path))
        folders = above if path in bound else [*above, last]
        for folder in map(str, folders):  # bubblewrap would make them as closed as they are outside
            if folder not in there and not is_system(folder) and not any(is_within(folder, other) for other in bound):
                there.add(folder)
                yield from ("--perms", "0755", "--dir", folder)
        if path in bound:
            yield from (*bound[path], path)


def _tool(name: str) -> str:
    found = shutil.which(name, path=SEARCH)
    if found is None:
        raise ConfigError(f"a sandbox is asked for, and there is no {name} on this machine", hint=INSTALL)
    return found


def _of(spec: StdioSpec) -> str:
    return f"the sandbox of upstream {spec.name}"


def _as_whom() -> str:
    return "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
