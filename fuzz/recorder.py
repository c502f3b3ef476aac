"""An MCP server that writes down each tools/call as it came, byte for byte. Usage: recorder.py stdio|http FILE.

`http` prints its port. Standard library only: nothing that reads the request is the gateway's.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

FILE = Path(sys.argv[2])
SCHEMA = {"type": "object", "additionalProperties": True}
COMPLETE = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}


def answer(data: bytes) -> bytes | None:
    """The response to one message; None for a notification."""
    message: dict[str, Any] = json.loads(data)
    if "id" not in message:
        return None
    result: dict[str, Any]
    match message.get("method"):
        case "server/discover":
            result = {**COMPLETE, "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}
        case "tools/list":
            result = {**COMPLETE, "tools": [{"name": "take", "inputSchema": SCHEMA}]}
        case "tools/call":
            with FILE.open("ab") as out:
                out.write(data.rstrip(b"\n") + b"\n")
            result = {"resultType": "complete", "content": []}
        case _:
            error = {"code": -32601, "message": "no such method"}
            return json.dumps({"jsonrpc": "2.0", "id": message["id"], "error": error}).encode()
    return json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()


class Handler(BaseHTTPRequestHandler):
    """One POST, one message."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        said = answer(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(202 if said is None else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(said or b"")))
        self.end_headers()
        self.wfile.write(said or b"")

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def main() -> None:
    if sys.argv[1] == "http":
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        print(server.server_address[1], flush=True)
        server.serve_forever()
    for line in sys.stdin.buffer:
        said = answer(line)
        if said is not None:
            sys.stdout.buffer.write(said + b"\n")
            sys.stdout.buffer.flush()


main()
