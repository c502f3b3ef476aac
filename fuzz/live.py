"""Targets against a running gateway: whatever is sent is answered or refused within two seconds, and nothing that the
strict parser refuses reaches the upstream."""

import http.client
import json
import time
from random import Random
from typing import Any

from fuzz.mutate import damaged, replanted, value
from gateway.core import wire
from gateway.core.canonical import canonical
from tests.edge.box import Box
from tests.edge.clients import ENVELOPE, LineClient, on_socket, send
from tests.edge.frames import ERRORS, MALFORMED, call

ANSWER_SECONDS = 2.0
SMALL = [frame.data for frame in (*MALFORMED, *ERRORS) if len(frame.data) < 5_000]
METHODS = (
    "tools/call",
    "tools/list",
    "server/discover",
    "ping",
    "initialize",
    "resources/list",
    "notifications/initialized",
)


class Live:
    """A running gateway under fire. `sent` has every call that the strict parser lets through."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self.sent: set[tuple[str, bytes]] = set()

    def http(self, rng: Random) -> str | None:
        """One HTTP request."""
        data = frame(rng)
        message = self._noted(data)
        headers: dict[str, str | None] = {}
        if message is not None and isinstance(message.get("method"), str):
            headers["Mcp-Method"] = _fit(message["method"])
            headers["Mcp-Name"] = _fit(str((message.get("params") or {}).get("name", "box__echo")))
        if rng.random() < 0.1:
            name = rng.choice(("Mcp-Name", "Mcp-Method", "MCP-Protocol-Version", "Mcp-Session-Id", "Accept", "Content-Type"))
            headers[name] = _fit(damaged(rng, b"tools/call").decode("latin-1"))
        began = time.monotonic()
        try:
            answer = send(self._box.gateway, data, headers)
        except (http.client.HTTPException, ConnectionError) as error:
            return f"no answer to {data!r} with {headers!r}: {error!r}" if not headers else None
        if time.monotonic() - began > ANSWER_SECONDS:
            return f"answered after {time.monotonic() - began:.1f} s: {data!r}"
        if answer.status >= 500:
            return f"answered {answer.status}: {data!r} with {headers!r}"
        if message is None and answer.status != 400 and not headers:
            return f"answered {answer.status} to what the strict parser refuses: {data!r}"
        return None

    def socket(self, rng: Random) -> str | None:
        """Some lines on one connection to the daemon's socket, in either era."""
        with on_socket(self._box.gateway.state / "mcp.sock") as client:
            if rng.random() < 0.3:
                client.handshake()
            else:
                client.request("tools/list", {})
            for _ in range(rng.randrange(1, 8)):
                data = frame(rng).replace(b"\n", b" ")
                finding = self._line(client, data)
                if finding:
                    return finding
        return None

    def unreached(self) -> str | None:
        """A call that reached the upstream though no frame the strict parser takes asked for it."""
        reached = (line.partition(" ") for line in self._box.lines("calls"))
        strange = [call for name, _, text in reached if (call := (name, _bytes(json.loads(text)))) not in self.sent]
        return f"reached the upstream: {strange[:3]}" if strange else None

    def _line(self, client: LineClient, data: bytes) -> str | None:
        message = self._noted(data)
        client.send(data + b"\n")
        client.send(b'{"jsonrpc":"2.0","id":"marker","method":"tools/list","params":{"_meta":%b}}\n' % _ENVELOPE)
        answers: list[Any] = []
        while not answers or answers[-1].get("id") != "marker":
            try:
                answer = client.receive(ANSWER_SECONDS)
            except AssertionError:
                return f"the connection hangs after {data!r}"
            if answer is None:
                return f"the connection was closed after {data!r}"
            answers.append(answer)
        if message is None and data.strip() and not any("error" in answer for answer in answers):
            return f"no error for {data!r}"
        # What was cancelled by a later line of the same id is not answered; `marker` may come before a slow answer.
        return None

    def _noted(self, data: bytes) -> dict[str, Any] | None:
        """The message in `data` if the strict parser takes it; the call in it may then reach the upstream."""
        try:
            message = wire.message(data)
        except wire.Malformed:
            return None
        params = message.get("params") or {}
        name = params.get("name")
        if message.get("method") == "tools/call" and isinstance(name, str):
            arguments = params.get("arguments") or {}
            self.sent.add((name.removeprefix("box__"), _bytes(arguments)))
        return message


_ENVELOPE = json.dumps(ENVELOPE).encode()


def _bytes(arguments: Any) -> bytes:
    """Canonical, since that is what is forwarded: 1e5 arrives as 100000."""
    return canonical(arguments if arguments is not None else {})


def frame(rng: Random) -> bytes:
    """One frame: damaged, replanted or one of those known to be malformed."""
    good = call(json.dumps({"text": rng.choice(("x", "é", "\u2028", ""))}), request_id=rng.choice(("7", '"a"', "-1")))
    match rng.randrange(5):
        case 0:
            return damaged(rng, rng.choice(SMALL))
        case 1:
            return json.dumps(replanted(rng, json.loads(good))).encode()
        case 2:
            document = json.loads(good)
            document["method"] = rng.choice(METHODS)
            return json.dumps(replanted(rng, document)).encode()
        case 3:
            arguments = json.dumps({"any": value(rng)})
            return call(arguments, name='"box__open"').replace(b"Infinity", b"1e5").replace(b"NaN", b"0")
        case _:
            return damaged(rng, good)


def _fit(text: str) -> str:
    """Fit for a header line."""
    return "".join(char for char in text if char.isprintable() and ord(char) < 256)
