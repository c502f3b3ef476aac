"""The path guard: a call's paths lie in the tool's roots, and no link on the way leads anywhere.

A root is where it led when the gateway was started. Each component, those of the root as well, is opened without following
links, so that what is looked at is what is there. Nothing keeps a link from being put there afterwards, before the tool
opens the path: what that leads to is not there in a sandbox (docs/how-to/contain-a-server.md).
"""

import errno
import os
import stat
from collections.abc import Iterable, Sequence

from gateway.core.capability import Root
from gateway.core.outcome import Reason

OUTSIDE = Reason("path.outside", "A path in the arguments lies outside of the folders that this tool may use.")
RELATIVE = Reason(
    "path.relative",
    "A path in the arguments is relative, and where this tool starts from is not known. Send the whole path.",
)
LINK = Reason("path.link", "A path in the arguments leads through a symbolic link. Send the path that the link points to.")
UNREADABLE = Reason("path.unchecked", "A path in the arguments cannot be checked: the gateway may not look at it.")

_LOOK = os.O_PATH if hasattr(os, "O_PATH") else os.O_RDONLY | os.O_NONBLOCK
_TOP = _LOOK | os.O_DIRECTORY | os.O_CLOEXEC
_STEP = _LOOK | os.O_NOFOLLOW | os.O_CLOEXEC


def path_refusal(paths: Iterable[str], roots: Sequence[Root], cwd: str | None) -> Reason | None:
    """Why a call with these paths, in their form, may not run. No roots: it may use any.

    Args:
        roots: folders, each by its path and by where that led
        cwd: where the tool starts, and so do relative paths (empty: where the gateway does); None: its files are not those
            of this machine, and only the text of whole paths can be looked at
    """
    for path in paths if roots else ():
        reason = _refusal(path, roots, cwd)
        if reason is not None:
            return reason
    return None


def _refusal(path: str, roots: Sequence[Root], cwd: str | None) -> Reason | None:
    if not path.startswith("/"):
        if cwd is None:
            return RELATIVE
        path = os.path.abspath(os.path.join(cwd, path))
    for root in roots:
        for top in (root.path, root.real) if cwd is not None else (root.path,):
            below = _below(path, os.path.normpath(top))
            if below is not None:
                return _walk(root, below) if cwd is not None else None
    return OUTSIDE


def _below(path: str, root: str) -> str | None:
    """`path` as seen from `root`; None where it is not in it."""
    if path == root:
        return "."
    prefix = root.rstrip("/") + "/"
    return path[len(prefix) :] if path.startswith(prefix) else None


def _walk(root: Root, below: str) -> Reason | None:
    """Go down, component by component. Below the root, what is not there yet can lead nowhere."""
    above = [name for name in root.real.split("/") if name]
    opened: list[int] = []
    try:
        if os.path.realpath(root.path) != root.real:
            return LINK
        opened.append(os.open("/", _TOP))
        for name in (*above, *below.split("/")):
            opened.append(os.open(name, _STEP, dir_fd=opened[-1]))
            mode = os.fstat(opened[-1]).st_mode
            if stat.S_ISLNK(mode):
                return LINK
            if len(opened) - 1 <= len(above) and not stat.S_ISDIR(mode):
                return UNREADABLE
    except (FileNotFoundError, NotADirectoryError):
        return None if len(opened) > len(above) else UNREADABLE
    except OSError as error:
        return LINK if error.errno == errno.ELOOP else UNREADABLE  # so where there is no O_PATH
    finally:
        for fd in opened:
            os.close(fd)
    return None
