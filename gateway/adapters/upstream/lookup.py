"""How a path is looked up, name by name: who can write in a folder on the way decides where the path leads.

Source: path_resolution(7).
"""

import os
from dataclasses import dataclass

MAX_LINKS = 40


@dataclass(frozen=True, slots=True)
class Lookup:
    """`names` are all that is looked up, absolute and with their folder free of links; `real` is where that leads."""

    names: tuple[str, ...]
    real: str

    def is_chosen_in(self, folder: str) -> bool:
        """Whether who can write in `folder`, free of links, can make the path lead elsewhere."""
        return any(name != folder and is_within(name, folder) for name in self.names)

    def touches(self, folder: str) -> bool:
        """Whether they can also change what is there: the path leads into the folder, or is it."""
        return self.is_chosen_in(folder) or is_within(self.real, folder)


def look_up(path: str) -> Lookup:
    """Follow an absolute path. What is not there, or cannot be read, is taken for no link. A circle of links ends."""
    names: list[str] = []
    at, links = "/", 0
    ahead = path.split("/")[::-1]
    while ahead:
        part = ahead.pop()
        if part in ("", "."):
            continue
        if part == "..":
            at = os.path.dirname(at)
            continue
        name = os.path.join(at, part)
        names.append(name)
        try:
            target = os.readlink(name) if links < MAX_LINKS else None
        except (OSError, ValueError):  # the second: a name that no file can have
            target = None
        if target is None:
            at = name
            continue
        links += 1
        ahead += target.split("/")[::-1]
        if target.startswith("/"):
            at = "/"
    return Lookup(tuple(names), at)


def is_within(path: str, folder: str) -> bool:
    """Whether `path` is `folder` or below it, by their names."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")
