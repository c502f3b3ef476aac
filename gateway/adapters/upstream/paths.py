"""The path guard: a call's paths lie in the tool's roots, and no link on the way leads anywhere.

Each component is opened without following links, from the root down, so that what is looked at is what is there. Nothing
keeps a link from being put there afterwards, before the tool opens the path: only a sandbox rules that out
(docs/how-to/contain-a-server.md).
"""

import errno
import os
import stat
from collections.abc import Iterable, Sequence

from gateway.core.outcome import Reason

OUTSIDE = Reason("path.outside", "A path in the arguments lies outside of the folders that this tool may use.")
RELATIVE = Reason(
    "path.relative",
    "A path in the arguments is relative, and where this tool starts from is not known. Send the whole path.",
)
LINK = Reason("path.link", "A path in the arguments leads through a symbolic link. Send the path that the link points to.")
UNREADABLE = Reason("path.unchecked", "A path in the arguments cannot be checked: the gateway may not look at it.")

_LOOK = os.O_PATH if hasattr(os, "O_PATH") else os.O_RDONLY | os.O_NONBLOCK
_ROOT = _LOOK | os.O_DIRECTORY | os.O_CLOEXEC
_STEP = _LOOK | os.O_NOFOLLOW | os.O_CLOEXEC


def path_refusal(paths: Iterable[str], roots: Sequence[str], cwd: str | None) -> Reason | None:
    """Why a call with these paths, in their form, may not run. No roots: it may use any.

    Args:
        roots: absolute folders
        cwd: where the tool starts, and so do relative paths (empty: where the gateway does); None: its files are not those
            of this machine, and only the text of whole paths can be looked at
    """
    for path in paths if roots else ():
        reason = _refusal(path, roots, cwd)
        if reason is not None:
            return reason
    return None


def _refusal(path: str, roots: Sequence[str], cwd: str | None) -> Reason | None:
    if not path.startswith("/"):
        if cwd is None:
            return RELATIVE
        path = os.path.abspath(os.path.join(cwd, path))
    for root in roots:
        for top in {root, os.path.realpath(root)} if cwd is not None else {root}:
            below = _below(path, os.path.normpath(top))
            if below is not None:
                return _walk(top, below) if cwd is not None else None
    return OUTSIDE


def _below(path: str, root: str) -> str | None:
    """`path` as seen from `root`; None where it is not in it."""
    if path == root:
        return "."
    prefix = root.rstrip("/") + "/"
    return path[len(prefix) :] if path.startswith(prefix) else None


def _walk(root: str, below: str) -> Reason | None:
    """Go down from `root`, component by component. What is not there yet can lead nowhere."""
    opened: list[int] = []
    try:
        opened.append(os.open(root, _ROOT))
        for name in below.split("/"):
            opened.append(os.open(name, _STEP, dir_fd=opened[-1]))
            if stat.S_ISLNK(os.fstat(opened[-1]).st_mode):
                return LINK
    except (FileNotFoundError, NotADirectoryError):
        return None if opened else UNREADABLE
    except OSError as error:
        return LINK if error.errno == errno.ELOOP else UNREADABLE  # so where there is no O_PATH
    finally:
        for fd in opened:
            os.close(fd)
    return None
