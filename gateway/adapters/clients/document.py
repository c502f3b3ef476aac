"""What a client's configuration file is to us: a text with servers in it."""

from dataclasses import dataclass, field
from typing import Any, Protocol

Servers = dict[str, dict[str, Any]]
"""The servers of a file by name, as the file says them."""


class Malformed(Exception):
    """The text is not of its format. `line` and `column` count from 1."""

    def __init__(self, problem: str, line: int = 1, column: int = 1) -> None:
        super().__init__(problem)
        self.problem, self.line, self.column = problem, line, column


@dataclass(frozen=True, slots=True)
class Addition:
    """A server to put in, and the questions that the client must ask a person for it (VS Code's `inputs`), by their id."""

    name: str
    entry: dict[str, Any]
    questions: dict[str, dict[str, Any]] = field(default_factory=dict)


class Format(Protocol):
    """A file format with servers in it. Implementations: `json_file.JsonFile`, `toml_file.TomlFile`.

    Each change is a new text. All of the old one that the change is not about stays byte for byte, and is checked to mean
    what it meant. `Malformed` where a text is not of the format.
    """

    def servers(self, text: str) -> Servers:
        """All of them, in the order of the file."""

    def put(self, text: str, addition: Addition) -> str:
        """With this server, in the place of one that has its name."""

    def drop(self, text: str, name: str) -> str:
        """Without this server; the same text where there is none."""
