"""Servers put into the text of gateway.yaml. All else in it stays byte for byte: comments, order, quotes.

Only the place where the new servers go is looked for, by the positions that the YAML parser tells. What comes of it is read
again and must mean what it meant, and the new servers besides; otherwise nothing is changed.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode

from gateway.settings.scalars import core_value
from gateway.settings.yaml_source import Unreadable, parse_document

_BLOCK = "mcpServers"
_STEP = "  "
_PLAIN = re.compile(r"[A-Za-z0-9_./@-]+")


class NotMerged(Exception):
    """The text has a form in which the place for new servers was not found. It is as it was."""


def with_servers(text: str, servers: Mapping[str, Mapping[str, Any]]) -> str:
    """`text` (gateway.yaml, valid) with these servers after those that it has. Raises `NotMerged`."""
    before = _plain(text)
    present = before.get(_BLOCK) or {}
    if not isinstance(present, dict) or present.keys() & servers.keys():
        raise NotMerged
    changed = _spliced(text, servers)
    wanted = {**before, _BLOCK: {**present, **servers}}
    if _plain(changed) != wanted:
        raise NotMerged
    return changed


def block_text(servers: Mapping[str, Mapping[str, Any]], indent: str = _STEP) -> str:
    """The servers as lines of block YAML."""
    return "".join(_lines(name, server, indent) for name, server in servers.items())


def _spliced(text: str, servers: Mapping[str, Mapping[str, Any]]) -> str:
    offset = 1 if text.startswith("\ufeff") else 0
    try:
        root = YAML(typ="safe", pure=True).compose(text[offset:].replace("\t", " "))
    except YAMLError as error:
        raise NotMerged from error
    newline = "\r\n" if "\r\n" in text else "\n"
    if root is None:
        return _ended(text, newline) + _whole("", servers, newline)
    if not isinstance(root, MappingNode):
        raise NotMerged
    pair = next((pair for pair in root.value if pair[0].value == _BLOCK), None)
    if pair is None:
        if root.flow_style:
            return _into_flow(text, root, {_BLOCK: dict(servers)}, offset)
        return _ended(text, newline) + _whole(" " * root.start_mark.column, servers, newline)
    key, block = pair
    indent = " " * key.start_mark.column
    if isinstance(block, ScalarNode) and not block.value:
        place = _line_end(text, key.end_mark.index + offset)
        return text[:place] + newline + _block(servers, indent + _STEP, newline).removesuffix(newline) + text[place:]
    if not isinstance(block, MappingNode) or block.start_mark.index < key.end_mark.index:
        raise NotMerged  # the latter is an alias
    if block.flow_style and block.value:
        return _into_flow(text, block, servers, offset)
    if block.flow_style:
        if root.flow_style:
            return _into_flow(text, block, servers, offset)
        start, end = block.start_mark.index + offset, block.end_mark.index + offset
        added = newline + _block(servers, indent + _STEP, newline).removesuffix(newline)
        return text[:start].rstrip(" \t") + added + text[end:]
    place = _last_end(block.value[-1]) + offset
    added = _block(servers, " " * block.value[0][0].start_mark.column, newline)
    if place and text[place - 1] == "\n":
        return text[:place] + added + text[place:]
    place = _line_end(text, place)
    return text[:place] + newline + added.removesuffix(newline) + text[place:]


def _into_flow(text: str, block: MappingNode, members: Mapping[str, Any], offset: int) -> str:
    """JSON members at the end of a flow mapping."""
    added = ", ".join(f"{_json(name)}: {_json(value)}" for name, value in members.items())
    if not block.value:
        place = block.start_mark.index + offset + 1
        return text[:place] + added + text[place:]
    place = block.value[-1][1].end_mark.index + offset
    return f"{text[:place]}, {added}{text[place:]}"


def _last_end(pair: tuple[Node, Node]) -> int:
    """Where the last scalar or flow collection below a pair ends: a block collection's own end lies behind comments."""
    key, value = pair
    while isinstance(value, CollectionNode) and not value.flow_style and value.value:
        last = value.value[-1]
        key, value = last if isinstance(last, tuple) else (last, last)
    return int(max(key.end_mark.index, value.end_mark.index))


def _line_end(text: str, place: int) -> int:
    """The end of the line of that place, before its line break."""
    match = re.compile(r"\r?\n|\Z").search(text, place)
    return len(text) if match is None else match.start()


def _ended(text: str, newline: str) -> str:
    return text if not text or text.endswith("\n") else text + newline


def _whole(indent: str, servers: Mapping[str, Mapping[str, Any]], newline: str) -> str:
    return f"{indent}{_BLOCK}:{newline}" + _block(servers, indent + _STEP, newline)


def _block(servers: Mapping[str, Mapping[str, Any]], indent: str, newline: str) -> str:
    return block_text(servers, indent).replace("\n", newline)


def _lines(name: str, value: Any, indent: str) -> str:
    if isinstance(value, Mapping) and value:
        return f"{indent}{_scalar(name)}:\n" + "".join(_lines(key, one, indent + _STEP) for key, one in value.items())
    return f"{indent}{_scalar(name)}: {_scalar(value)}\n"


def _scalar(value: Any) -> str:
    """A value on one line: plain where YAML reads the same text again, else JSON, which is YAML as well."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value[0] not in "-@" and _is_text(value):
        return value
    return _json(value)


def _json(value: Any) -> str:
    """JSON with all escaped that YAML does not allow in a text, or would read as a line break."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(
        char if char.isprintable() else f"\\u{ord(char):04x}" if char <= "\uffff" else json.dumps(char)[1:-1]
        for char in text
    )


def _is_text(value: str) -> bool:
    try:
        return core_value(value) == value
    except ValueError:
        return False


def _plain(text: str) -> dict[str, Any]:
    try:
        document = parse_document(text.encode(), tabs=True)
    except Unreadable as error:
        raise NotMerged from error
    if document is None:
        return {}
    value = document.root.plain()
    if not isinstance(value, dict):
        raise NotMerged
    return value
