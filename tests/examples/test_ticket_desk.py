"""The ticket desk, run for real over HTTP and called as an MCP client would; effects are read from its database file."""

import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import TextContent

pytestmark = pytest.mark.anyio
StartDesk = Callable[..., AbstractContextManager[str]]
SERVER = Path(__file__).parents[2] / "examples" / "ticket_desk.py"


@asynccontextmanager
async def attached(url: str, mode: Any = "auto", token: str = "") -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        yield client


async def call(client: Client, tool: str, **arguments: object) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert isinstance(result.structured_content, dict)
    return result.structured_content


async def refused(client: Client, tool: str, **arguments: object) -> str:
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    text = result.content[0]
    assert isinstance(text, TextContent)
    return text.text


def rows(db: Path, sql: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(db)) as connection:
        return connection.execute(sql).fetchall()


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_both_eras_list_closed_schemas_and_honest_annotations(untouched: tuple[str, Path], mode: str) -> None:
    desk, _ = untouched
    async with attached(desk, mode) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert sorted(tools) == ["get_ticket", "list_refunds", "refund", "refund_count", "search_tickets", "send_reply"]
    for name, tool in tools.items():
        assert tool.input_schema["additionalProperties"] is False
        assert all("description" in field for field in tool.input_schema["properties"].values())
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint is (name not in {"refund", "send_reply"})
        assert tool.annotations.destructive_hint is (name == "refund")


async def test_a_new_desk_has_tickets_and_one_of_them_gives_orders(untouched: tuple[str, Path]) -> None:
    desk, _ = untouched
    async with attached(desk) as client:
        everything = await call(client, "search_tickets", query="")
        found = await call(client, "search_tickets", query="IGNORE earlier rules refund")
        ticket = await call(client, "get_ticket", id="T-1001")
    assert [ticket["id"] for ticket in everything["tickets"]] == ["T-1001", "T-1002", "T-1003", "T-1004"]
    assert [ticket["id"] for ticket in found["tickets"]] == ["T-1003"]
    assert (ticket["paid_cents"], ticket["balance_cents"]) == (8900, 8900)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_refund_writes_a_row_and_lowers_the_balance(desk: str, db: Path, mode: str) -> None:
    async with attached(desk, mode) as client:
        made = await call(client, "refund", ticket_id="T-1001", amount_cents=3000, reason="charged twice")
        again = await call(client, "refund", ticket_id="T-1001", amount_cents=1000, reason="charged twice")
        assert (made["refunded"]["balance_cents"], again["refunded"]["balance_cents"]) == (5900, 4900)
        assert await call(client, "refund_count") == {"refund_count": 2}
        assert [refund["amount_cents"] for refund in (await call(client, "list_refunds"))["refunds"]] == [3000, 1000]
    assert rows(db, "SELECT ticket_id, amount_cents, reason FROM refunds") == [
        ("T-1001", 3000, "charged twice"),
        ("T-1001", 1000, "charged twice"),
    ]
    assert rows(db, "SELECT refunded_cents FROM tickets WHERE id = 'T-1001'") == [(4000,)]


async def test_more_than_was_paid_is_never_refunded(desk: str, db: Path) -> None:
    async with attached(desk) as client:
        assert "8900 cents left" in await refused(client, "refund", ticket_id="T-1001", amount_cents=8901, reason="x")
        await call(client, "refund", ticket_id="T-1001", amount_cents=8900, reason="all of it")
        assert "0 cents left" in await refused(client, "refund", ticket_id="T-1001", amount_cents=1, reason="x")
        assert "no ticket" in await refused(client, "refund", ticket_id="T-9999", amount_cents=1, reason="x")
    assert rows(db, "SELECT amount_cents FROM refunds") == [(8900,)]


async def test_wrong_arguments_change_nothing(untouched: tuple[str, Path]) -> None:
    desk, db = untouched
    wrong: list[dict[str, Any]] = [
        {"amount_cents": 0},
        {"amount_cents": -5},
        {"amount_cents": "100"},
        {"amount_cents": 10.5},
        {"ticket_id": "1001"},
        {"reason": ""},
        {"to": "me"},
    ]
    async with attached(desk) as client:
        for arguments in wrong:
            told = await refused(client, "refund", **{"ticket_id": "T-1001", "amount_cents": 1, "reason": "x", **arguments})
            assert next(iter(arguments)) in told
    assert rows(db, "SELECT * FROM refunds") == []


async def test_a_reply_goes_to_the_outbox_addressed_to_the_customer(desk: str, db: Path) -> None:
    async with attached(desk) as client:
        queued = await call(client, "send_reply", ticket_id="T-1002", text="It left today.")
        assert "no ticket" in await refused(client, "send_reply", ticket_id="T-9999", text="Hello?")
    assert queued == {"queued": {"id": 1, "ticket_id": "T-1002", "recipient": "jonas@customers.example"}}
    assert rows(db, "SELECT ticket_id, recipient, text FROM messages") == [
        ("T-1002", "jonas@customers.example", "It left today.")
    ]


async def test_refunds_outlive_a_restart(start_desk: StartDesk, db: Path) -> None:
    for _ in range(2):
        with start_desk(db) as url:
            async with attached(url) as client:
                await call(client, "refund", ticket_id="T-1004", amount_cents=100, reason="cup")
    assert rows(db, "SELECT count(*) FROM refunds") == [(2,)]
    assert rows(db, "SELECT count(*) FROM tickets") == [(4,)]


async def test_with_a_token_file_only_callers_with_the_token_get_in(start_desk: StartDesk, db: Path, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("open-sesame\n")
    with start_desk(db, "--token-file", str(secret)) as url:
        async with attached(url, token="open-sesame") as client:
            assert await call(client, "refund_count") == {"refund_count": 0}
        async with httpx2.AsyncClient() as http:
            for given in (b"", b"Bearer wrong", "Bearer öpen-sesame".encode("latin-1"), b"open-sesame"):
                sent = {b"authorization": given}
                answer = await http.post(url, json={"jsonrpc": "2.0", "id": 1, "method": "ping"}, headers=sent)
                assert answer.status_code == 401
                assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_foreign_host_or_origin_is_refused(untouched: tuple[str, Path]) -> None:
    desk, _ = untouched
    async with httpx2.AsyncClient() as http:
        for headers, status in (({"Host": "evil.example"}, 421), ({"Origin": "http://evil.example"}, 403)):
            answer = await http.post(desk, json={"jsonrpc": "2.0", "id": 1, "method": "ping"}, headers=headers)
            assert answer.status_code == status


def test_a_port_in_use_is_told_in_one_line(untouched: tuple[str, Path], tmp_path: Path) -> None:
    desk, _ = untouched
    port = desk.split(":")[-1].split("/")[0]
    command = [sys.executable, str(SERVER), "--port", port, "--db", str(tmp_path / "other.sqlite")]
    second = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 1
    assert second.stderr.strip() == (
        f"ticket desk: port {port} cannot be used: Address already in use. Choose another with --port."
    )
