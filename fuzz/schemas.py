"""Calls whose arguments hypothesis-jsonschema makes from the schemas that a tool server lists.

It runs in the environment of `locks/fuzz.lock`: this module as a program, with the standard library and hypothesis only.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

RICH: dict[str, Any] = {
    "name": "rich",
    "description": "Takes arguments of many forms.",
    "inputSchema": {
        "type": "object",
        "required": ["id", "lines"],
        "additionalProperties": False,
        "properties": {
            "id": {"type": "string", "pattern": "^[A-Z]{2}[0-9]{1,6}$"},
            "at": {"type": "string", "maxLength": 40},
            "total": {"type": "number", "minimum": -1e300, "maximum": 1e300},
            "count": {"type": "integer", "minimum": -9007199254740991, "maximum": 9007199254740991},
            "kind": {"enum": ["a", "é", "\u2028", 1, 1.5, None, True]},
            "lines": {"type": "array", "maxItems": 5, "items": {"$ref": "#/$defs/line"}},
            "labels": {"type": "object", "additionalProperties": {"type": ["string", "null", "number"]}, "maxProperties": 4},
        },
        "$defs": {
            "line": {
                "type": "object",
                "required": ["text"],
                "properties": {"text": {"type": "string"}, "price": {"type": "number"}, "flags": {"type": "array"}},
                "additionalProperties": False,
            }
        },
    },
}
"""Listed beside the tools of the tests' own server."""

TOOLS = {"box__rich": RICH["inputSchema"], "box__open": {"type": "object", "additionalProperties": True}}


def fitting_calls(count: int, seed: int) -> list[dict[str, Any]]:
    """About `count` calls, `{"name": …, "arguments": …}`. Raises `Missing` where there is no hypothesis-jsonschema."""
    from fuzz.environment import run, tool

    with tempfile.TemporaryDirectory() as folder:
        done = run([tool("python"), "-m", "fuzz.schemas", str(count), str(seed)], 120, Path(folder))
    if done.returncode != 0:
        raise RuntimeError(f"no calls could be made: {done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def _main(count: int, seed: int) -> None:
    for name, schema in TOOLS.items():
        _tell(name, schema, count // len(TOOLS), seed)


def _tell(name: str, schema: dict[str, Any], count: int, seed: int) -> None:
    import hypothesis
    from hypothesis_jsonschema import from_schema

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(from_schema(schema))
    def tell(arguments: Any) -> None:
        sys.stdout.write(json.dumps({"name": name, "arguments": arguments}) + "\n")

    tell()


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]))
