"""Codex' TOML file: `[mcp_servers.NAME]` tables. tomlkit keeps what it does not change as it is."""

import tomllib
from dataclasses import dataclass
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import InlineTable

from gateway.adapters.clients.document import Addition, Malformed, Servers

_BLOCK = "mcp_servers"


@dataclass(frozen=True, slots=True)
class TomlFile:
    """Implements `document.Format`."""

    def servers(self, text: str) -> Servers:
        block = _plain(text).get(_BLOCK, {})
        if not isinstance(block, dict):
            raise Malformed(f"{_BLOCK} is not a table")
        for name, entry in block.items():
            if not isinstance(entry, dict):
                raise Malformed(f"{_BLOCK}.{name} is not a table")
        return block

    def put(self, text: str, addition: Addition) -> str:
        servers = self.servers(text)
        if servers.get(addition.name) == addition.entry:
            return text
        wanted = _plain(text)
        wanted[_BLOCK] = {**servers, addition.name: addition.entry}
        if addition.name not in servers:
            newline = "\r\n" if "\r\n" in text else "\n"
            gap = "" if not text.strip() else newline if text.endswith("\n") else newline * 2
            table = tomlkit.dumps({_BLOCK: {addition.name: addition.entry}}).replace("\n", newline)
            appended = text + gap + table  # a table at the end is right wherever the others stand
            if _means(appended, wanted):
                return appended
        document = _document(text)
        block = document.get(_BLOCK)
        if block is None:
            block = document[_BLOCK] = tomlkit.table(is_super_table=True)
        block[addition.name] = _table(addition.entry, inline=isinstance(block, InlineTable))
        return _checked(tomlkit.dumps(document), wanted)

    def drop(self, text: str, name: str) -> str:
        if name not in self.servers(text):
            return text
        wanted = _plain(text)
        del wanted[_BLOCK][name]
        document = _document(text)
        del document[_BLOCK][name]
        changed = tomlkit.dumps(document)
        if changed.endswith("\n\n") and not text.endswith("\n\n"):
            changed = changed.removesuffix("\n")  # the blank line before the last table
        if not wanted[_BLOCK] and not _means(changed, wanted):
            del wanted[_BLOCK]  # its last table was all that made it
        return _checked(changed, wanted)


def _table(entry: dict[str, Any], *, inline: bool) -> Any:
    table: Any = tomlkit.inline_table() if inline else tomlkit.table()
    table.update(entry)
    if not inline:
        table.add(tomlkit.nl())
    return table


def _document(text: str) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(text)
    except TOMLKitError as error:
        raise Malformed(str(error), getattr(error, "line", 1), getattr(error, "col", 0) + 1) from error


def _plain(text: str) -> dict[str, Any]:
    """What it means, by the standard library's reader: a second opinion on tomlkit's."""
    _document(text)
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Malformed(str(error)) from error


def _means(text: str, wanted: dict[str, Any]) -> bool:
    try:
        return _plain(text) == wanted
    except Malformed:
        return False


def _checked(text: str, wanted: dict[str, Any]) -> str:
    """An edit that changed more or less than it should is never written."""
    if not _means(text, wanted):
        raise Malformed("the change cannot be made safely in this text; make it by hand")
    return text
