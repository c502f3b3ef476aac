"""An MCP server (streamable HTTP, handshake era) whose tools are those of one AgentDojo suite. Needs agentdojo.

`python -m bench.security.suite_server SUITE`. MCP is spoken on a loopback port, which only the gateway is told. What begins
a task and scores it are JSON lines on the standard streams, which only the process that started this one holds. The first
line out is {"port": n}; an order is {"do": name, ...}, its answer {"done": value} or {"failed": text}.
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from bench.security.audit import planted_everywhere
from bench.security.suite_world import World

SESSION = "one"
KNOWN_VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26")


class SuiteServer(ThreadingHTTPServer):
    """One world; one call at a time."""

    daemon_threads = True

    def __init__(self, world: World) -> None:
        super().__init__(("127.0.0.1", 0), McpRequest)
        self.world = world
        self.turn = threading.Lock()
        self.tools = world.tools()


class McpRequest(BaseHTTPRequestHandler):
    """POST one JSON-RPC message, get one JSON answer."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: SuiteServer

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "id" not in message:
            self._send(202)
            return
        answer = {"jsonrpc": "2.0", "id": message["id"], **self._answer(message["method"], message.get("params") or {})}
        self._send(200, json.dumps(answer).encode(), session=message["method"] == "initialize")

    def do_DELETE(self) -> None:
        self._send(200)

    def do_GET(self) -> None:
        self._send(405)

    def _answer(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        match method:
            case "initialize":
                asked = params.get("protocolVersion")
                return {
                    "result": {
                        "protocolVersion": asked if asked in KNOWN_VERSIONS else KNOWN_VERSIONS[0],
                        "capabilities": {"tools": {}},
                        "serverInfo": {"name": "suite", "version": "1"},
                    }
                }
            case "tools/list":
                return {"result": {"tools": self.server.tools}}
            case "tools/call":
                with self.server.turn:
                    text, failed = self.server.world.call(params["name"], params.get("arguments") or {})
                return {"result": {"content": [{"type": "text", "text": text}], "isError": failed}}
            case "ping":
                return {"result": {}}
            case _:
                return {"error": {"code": -32601, "message": "Method not found"}}

    def _send(self, status: int, body: bytes = b"", *, session: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if session:
            self.send_header("Mcp-Session-Id", SESSION)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        """Nothing: errors go to standard error by themselves."""


def obey(world: World, order: dict[str, Any]) -> Any:
    """Carry out one order of the process that started this one."""
    match order.pop("do"):
        case "tasks":
            return world.tasks()
        case "tools":
            return [tool["name"] for tool in world.tools()]
        case "begin":
            return world.begin(**order)
        case "score":
            return world.score(**order)
        case "plant":
            world.change(lambda data: planted_everywhere(data, **order))
            return None
        case "state":
            return world.state()
        case unknown:
            raise ValueError(f"unknown order {unknown}")


def main(suite: str) -> None:
    """Serve until standard input ends."""
    server = SuiteServer(World(suite))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"port": server.server_port}), flush=True)
    for line in sys.stdin:
        try:
            with server.turn:
                told = {"done": obey(server.world, json.loads(line))}
        except Exception as error:  # noqa: BLE001 — the other side must learn of every failure, whatever the suite's code raised
            told = {"failed": f"{type(error).__name__}: {error}"}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
