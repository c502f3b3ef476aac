"""What a sandbox binds, as it was when the gateway loaded: every start binds the same, or there is none.

bubblewrap looks its sources up anew each time. A server that can put a link on the way to one would choose what its next
start, or another server's, is given: so where each path leads is found out once, and held against at each start. What a
server could already choose before that, across starts of the gateway, the settings refuse.
"""

import os
import stat
from dataclasses import dataclass

from gateway.core.errors import ConfigError


class Moved(ConfigError):
    """What a sandbox binds is another thing now."""


@dataclass(frozen=True, slots=True)
class Pin:
    """`path` is its place in the sandbox, `real` what is bound there. `folder`: device and inode; None: it is a file."""

    path: str
    real: str
    folder: tuple[int, int] | None

    def check(self, upstream: str) -> None:
        """Raises `Moved` where the path leads elsewhere now, or a folder is another one."""
        try:
            same = pin(self.path) == self
        except OSError:
            same = False
        if not same:
            raise Moved(
                f"the sandbox of upstream {upstream}: {self.path} is not what it was when the gateway was started",
                hint="Look at what it is now. If that is meant, restart the gateway.",
            )


@dataclass(frozen=True, slots=True)
class Pins:
    """All that one sandbox binds. `program` is where the server's program is, absolute, and `needs` what that reads.

    No program: there was none, and it is not looked for again.
    """

    program: str | None
    needs: tuple[Pin, ...]
    read: tuple[Pin, ...]
    write: tuple[Pin, ...]

    def check(self, upstream: str) -> None:
        """Raises `Moved`."""
        for one in (*self.needs, *self.read, *self.write):
            one.check(upstream)


def pin(path: str) -> Pin:
    """What is there now. Raises `OSError` where nothing is."""
    real = os.path.realpath(path, strict=True)
    found = os.stat(real, follow_symlinks=False)
    return Pin(path, real, (found.st_dev, found.st_ino) if stat.S_ISDIR(found.st_mode) else None)
