"""A long call lets go of its connection, and its client comes back for the answer."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.conformance.world import LET_GO_SECONDS, governed
from tests.edge.clients import HandshakeClient
from tests.running import NO_AUTHORITIES, free_port

pytestmark = pytest.mark.long


def events(answer: httpx2.Response) -> Iterator[tuple[str, Any]]:
    """The id and the message of each event as it comes; None for one that only says where to come back to."""
    fields: dict[str, str] = {}
    for line in answer.iter_lines():
        name, _, value = line.partition(": ")
        if value:
            fields[name] = value
        elif not line and "id" in fields:
            yield fields["id"], json.loads(fields["data"]) if "data" in fields else None
            fields = {}


@pytest.mark.parametrize("version", ["2025-11-25", "2025-06-18"])
def test_the_answer_of_a_call_that_let_go_is_fetched_and_older_clients_hold_on(
    version: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with governed(tmp_path_factory.mktemp("gateway"), "stdio", free_port()) as gateway:
        with HandshakeClient(gateway, version=version) as client:
            call = {"name": "test_reconnection", "arguments": {}}
            answer = client.post(json.dumps({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": call}).encode())
            seen = list(events(answer))
            held = [message for _, message in seen if message and message.get("id") == 7]
            if version == "2025-06-18":
                assert len(held) == 1
                return
            assert held == []
            headers = {
                "Authorization": f"Bearer {gateway.token}",
                "Accept": "text/event-stream",
                "MCP-Protocol-Version": version,
                "Mcp-Session-Id": client.session_id,
                "Last-Event-ID": seen[-1][0],
            }
            with httpx2.Client(timeout=30, verify=NO_AUTHORITIES) as http:
                # Read to its end: a stream that was resumed ends with the answer.
                fetched = [message for _, message in events(http.get(gateway.url, headers=headers))]
        assert [message["id"] for message in fetched] == [7]
        result = fetched[0]["result"]
        assert result["content"][0]["text"] == "Fetched by who came back."
        assert answer.elapsed.total_seconds() < LET_GO_SECONDS + 1
        gateway.run("log", "verify")
