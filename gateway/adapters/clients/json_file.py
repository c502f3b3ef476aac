"""A client's JSON file: one block maps names to servers. VS Code's has `inputs` beside it, which a person is asked for."""

import json
from dataclasses import dataclass
from typing import Any

from gateway.adapters.clients import jsonc
from gateway.adapters.clients.document import Addition, Malformed, Servers

_INPUTS = "inputs"


@dataclass(frozen=True, slots=True)
class JsonFile:
    """Implements `document.Format`. `block`: the keys that lead to the servers. `comments`: the client reads them."""

    block: tuple[str, ...]
    comments: bool

    def servers(self, text: str) -> Servers:
        return self._servers(text, self._parsed(text))

    def put(self, text: str, addition: Addition) -> str:
        text = text if text.strip("\ufeff \t\r\n") else text + "{}\n"
        root = self._parsed(text)
        wanted = _with(root.value, self.block, {**self._servers(text, root), addition.name: addition.entry})
        changed = self._put(text, root, addition.name, addition.entry)
        for name, question in addition.questions.items():
            kept = [one for one in wanted.get(_INPUTS, []) if not _asks(one, name)]
            old = [one for one in wanted.get(_INPUTS, []) if _asks(one, name)]
            asked = {"id": name, **question}
            if old != [asked]:
                changed = self._ask(self._unask(changed, name), asked)
                wanted[_INPUTS] = [*kept, asked]
        return text if changed == text else self._checked(changed, wanted)

    def drop(self, text: str, name: str) -> str:
        root = self._parsed(text)
        servers, block = self._servers(text, root), self._block(text, root)
        item = None if block is None else block.member(name)
        if block is None or item is None:
            return text
        left = {key: said for key, said in servers.items() if key != name}
        wanted = _with(root.value, self.block, left)
        changed = jsonc.removed(text, block, item)
        for asked in _asked_by(servers[name]) - _asked_by(left):
            if any(_asks(one, asked) for one in wanted.get(_INPUTS, [])):
                changed = self._unask(changed, asked)
                wanted[_INPUTS] = [one for one in wanted[_INPUTS] if not _asks(one, asked)]
        return self._checked(changed, wanted)

    def _block(self, text: str, root: jsonc.Node) -> jsonc.Node | None:
        """The object that holds the servers; None where there is none yet."""
        node = root
        for depth, key in enumerate(self.block, 1):
            member = node.member(key)
            if member is None:
                return None
            node = member.node
            _require(text, node, dict, ".".join(self.block[:depth]))
        return node

    def _servers(self, text: str, root: jsonc.Node) -> Servers:
        block = self._block(text, root)
        if block is None:
            return {}
        for item in block.items:
            _require(text, item.node, dict, f"{'.'.join(self.block)}.{item.name}")
        return dict(block.value)

    def _put(self, text: str, root: jsonc.Node, name: str, entry: dict[str, Any]) -> str:
        unit, node = jsonc.indent_unit(text, root), root
        for depth, key in enumerate(self.block):
            member = node.member(key)
            if member is None:
                return jsonc.inserted(text, node, key, _with({}, self.block[depth + 1 :], {name: entry}), unit)
            node = member.node
        present = node.member(name)
        if present is None:
            return jsonc.inserted(text, node, name, entry, unit)
        return text if present.node.value == entry else jsonc.replaced(text, present, entry, unit)

    def _ask(self, text: str, asked: dict[str, Any]) -> str:
        root = self._parsed(text)
        unit = jsonc.indent_unit(text, root)
        inputs = root.member(_INPUTS)
        if inputs is None:
            return jsonc.inserted(text, root, _INPUTS, [asked], unit)
        return jsonc.inserted(text, inputs.node, None, asked, unit)

    def _unask(self, text: str, name: str) -> str:
        inputs = self._parsed(text).member(_INPUTS)
        for item in () if inputs is None else inputs.node.items:
            if inputs is not None and _asks(item.node.value, name):
                return self._unask(jsonc.removed(text, inputs.node, item), name)
        return text

    def _parsed(self, text: str) -> jsonc.Node:
        if not text.strip("\ufeff \t\r\n"):
            text = "{}"
        root = jsonc.parse(text, comments=self.comments)
        _require(text, root, dict, "the file")
        inputs = root.member(_INPUTS)
        if inputs is not None and self.block == ("servers",):
            _require(text, inputs.node, list, _INPUTS)
        return root

    def _checked(self, text: str, wanted: Any) -> str:
        """An edit that changed more or less than it should is never written."""
        if self._parsed(text).value != wanted:
            raise Malformed("the change cannot be made safely in this text; make it by hand")
        return text


def _with(value: dict[str, Any], path: tuple[str, ...], servers: Servers) -> dict[str, Any]:
    """`value` with `servers` at the end of the path. What is on the way stays, or is made."""
    if not path:
        return servers
    return {**value, path[0]: _with(value.get(path[0], {}), path[1:], servers)}


def _require(text: str, node: jsonc.Node, kind: type, what: str) -> None:
    if not isinstance(node.value, kind):
        raise jsonc.malformed(text, f"{what} is not {'an object' if kind is dict else 'a list'}", node.start)


def _asks(question: Any, name: str) -> bool:
    return isinstance(question, dict) and question.get("id") == name


def _asked_by(value: Any) -> set[str]:
    """The ids of questions that a value refers to."""
    parts = json.dumps(value).split("${input:")[1:]
    return {part.partition("}")[0] for part in parts}
