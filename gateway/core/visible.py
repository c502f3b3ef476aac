"""Which capabilities a caller may know of, and how much of them a list shows.

One rule for all that goes by a capability id: tools (`files__read`), and what is no tool (`files__resources/read`). What a
caller may not know of is not there for them: it is neither listed nor found, its schema is not looked at, and a call of it
ends as a call of something that does not exist.
"""

from enum import StrEnum
from fnmatch import fnmatchcase

Globs = tuple[str, ...] | None
"""Globs over capability ids. None: all of them. Empty: none."""


class Exposure(StrEnum):
    """What a caller's tools/list shows: all tools, or only the one that finds them. Either way all can be called."""

    ALL = "all"
    SEARCH = "search"


def covers(glob: str, capability_id: str) -> bool:
    """Whether a glob names it. One without a slash names tools only, so that `files__*` reads no resource."""
    return ("/" in glob) is ("/" in capability_id) and fnmatchcase(capability_id, glob)


def is_visible(capability_id: str, globs: Globs) -> bool:
    """Whether a caller with these globs may know of the capability."""
    return globs is None or any(covers(glob, capability_id) for glob in globs)
