"""A gateway that is weakened on purpose, for the teeth: it reads messages as lenient parsers do.

The last of two equal keys counts, NaN and integers of any size are numbers, nothing is too deep, an id may be null, and what
cannot be read at all is passed over without an answer.
"""

import json
from typing import Any

from gateway.cli import main
from gateway.core import wire


def lenient(data: bytes, *, max_bytes: int = wire.MAX_BYTES, max_keys: int = wire.MAX_KEYS) -> dict[str, Any]:
    """A message, whatever it holds; a notification that nobody listens to in place of what is none."""
    try:
        document = json.loads(data.decode(errors="replace"), strict=False)
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict) and isinstance(document.get("method"), str):
        return {**document, "jsonrpc": "2.0", "params": document.get("params") or {}}
    return {"jsonrpc": "2.0", "method": "notifications/nothing"}


if __name__ == "__main__":
    wire.message = lenient
    main()
