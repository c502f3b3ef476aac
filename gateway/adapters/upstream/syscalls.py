"""The system calls that a sandbox takes away: those by which namespaces are got round, or which open up much of the kernel.

Sockets are made of four families only: a virtual machine's own (AF_VSOCK) are in no network namespace, and lead to its host.
io_uring would make them without a system call for each. Key rings, bpf, perf and userfaultfd are of no use to a server.

A classic BPF program over `struct seccomp_data`. Sources: seccomp(2); linux/audit.h; the kernel's tables of system calls.
"""

import errno
import os
import platform
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.core.errors import ConfigError

FAMILIES = (1, 2, 10, 16)
"""AF_UNIX, AF_INET, AF_INET6 and AF_NETLINK, by which libraries read their own network's state."""

NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16  # offsets in seccomp_data; of an argument, the lower half comes first
X32 = 0x4000_0000
ALLOW, REFUSE = 0x7FFF_0000, 0x0005_0000
LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06


@dataclass(frozen=True, slots=True)
class Machine:
    """A processor's numbers: its own in audit records, that of socket(2), and those of what is taken away."""

    audit: int
    socket: int
    taken: tuple[int, ...]
    has_x32: bool = False


IO_URING = (425, 426, 427)
MACHINES = {
    # add_key, request_key, keyctl, perf_event_open, bpf, userfaultfd
    "x86_64": Machine(0xC000_003E, 41, (248, 249, 250, 298, 321, 323, *IO_URING), has_x32=True),
    "aarch64": Machine(0xC000_00B7, 198, (217, 218, 219, 241, 280, 282, *IO_URING)),
}


def filter_file() -> int:
    """An open file with the program for this machine, for the caller to hand on and close. Raises `ConfigError`."""
    machine = MACHINES.get(platform.machine())
    if machine is None:
        raise ConfigError(
            f"a sandbox is asked for, and its system calls are not known on {platform.machine()}",
            hint=f"Sandboxes are made on {' and '.join(MACHINES)}. Run the server in a container behind url instead.",
        )
    file = os.memfd_create("seccomp")
    os.write(file, b"".join(_program(machine)))
    os.lseek(file, 0, os.SEEK_SET)
    return file


def _program(machine: Machine) -> Iterator[bytes]:
    """Each test stands before the one instruction that it may pass over."""
    yield _step(LOAD, ARCHITECTURE)
    yield _step(EQUAL, machine.audit, if_true=1)
    yield _step(RETURN, REFUSE | errno.EPERM)  # a program of another kind has other numbers
    yield _step(LOAD, NUMBER)
    if machine.has_x32:
        yield _step(AT_LEAST, X32, if_false=1)
        yield _step(RETURN, REFUSE | errno.EPERM)
    for number in machine.taken:
        yield _step(EQUAL, number, if_false=1)
        yield _step(RETURN, REFUSE | errno.EPERM)
    yield _step(EQUAL, machine.socket, if_true=1)
    yield _step(RETURN, ALLOW)
    yield _step(LOAD, FIRST_ARGUMENT)
    for family in FAMILIES:
        yield _step(EQUAL, family, if_false=1)
        yield _step(RETURN, ALLOW)
    yield _step(RETURN, REFUSE | errno.EAFNOSUPPORT)


def _step(code: int, value: int, *, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
