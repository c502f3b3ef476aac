"""How others read what the gateway forwards: json, orjson, pydantic-core and Node.js must all read the same document."""

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
import pydantic_core
import rfc8785

from fuzz.environment import node
from fuzz.oracle import same

READERS: Mapping[str, Callable[[bytes], Any]] = {
    "json": json.loads,
    "orjson": orjson.loads,
    "pydantic-core": pydantic_core.from_json,
}

_SCRIPT = """
const canonical = (value) => {
  if (Array.isArray(value)) return '[' + value.map(canonical).join(',') + ']'
  if (value !== null && typeof value === 'object')
    return '{' + Object.keys(value).sort().map((name) => JSON.stringify(name) + ':' + canonical(value[name])).join(',') + '}'
  return JSON.stringify(value)
}
const answer = (line) => {
  let told
  try { told = canonical(JSON.parse(line).params.arguments) } catch (error) { told = String(error) }
  process.stdout.write(told.replace(/\\n/g, ' ') + '\\n')
}
let held = Buffer.alloc(0)
process.stdin.on('data', (chunk) => {
  held = Buffer.concat([held, chunk])
  for (let end; (end = held.indexOf(10)) >= 0; held = held.subarray(end + 1)) answer(held.subarray(0, end).toString())
})
"""
"""Node.js reads each request and writes its arguments as RFC 8785 has them: its own number and string formatting is that."""


class NodeReader:
    """A Node.js process. Raises `Missing` where there is none."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([node(), "-e", _SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self) -> "NodeReader":
        return self

    def __exit__(self, *exception: object) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait(timeout=10)

    def arguments(self, requests: Sequence[bytes]) -> list[bytes]:
        """The canonical arguments of each request; few enough at a time for a pipe's buffers."""
        sender, receiver = self._process.stdin, self._process.stdout
        if sender is None or receiver is None:
            raise RuntimeError("a process was started without its pipes")
        told = []
        for request in requests:
            sender.write(request + b"\n")
            sender.flush()
            told.append(receiver.readline().rstrip(b"\n"))
        return told


def disagreement(request: bytes, saw: Any, node_read: bytes) -> str | None:
    """How readers of a forwarded request differ from each other, or from what policy `saw`; None where none does."""
    read: dict[str, Any] = {}
    for name, reader in READERS.items():
        try:
            read[name] = reader(request)["params"]["arguments"]
        except (ValueError, KeyError, TypeError) as error:
            return f"{name} cannot read it: {error!r}"
    first = read["json"]
    for name, document in read.items():
        if not same(document, first):
            return f"{name} reads {document!r}, json {first!r}"
    try:
        canonical = rfc8785.dumps(first)
    except (rfc8785.CanonicalizationError, UnicodeError) as error:
        return f"what json reads has no canonical form: {error!r}"
    if node_read != canonical:
        return f"node reads {node_read!r}, json {canonical!r}"
    if rfc8785.dumps(saw) != canonical:
        return f"policy saw {saw!r}, forwarded is {canonical!r}"
    return None
