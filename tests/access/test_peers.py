"""Processes on this machine: let in by the user that the kernel names, over a Unix socket."""

import asyncio
import http.client
import json
import os
import socket
import stat
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.core.errors import ConfigError
from gateway.core.run_context import Principal, PrincipalKind
from gateway.edge.auth import Caller, Credentials, TokenTable, token_digest
from gateway.edge.door import Door
from gateway.edge.http import allowed
from gateway.edge.peers import PeerRule, PeerTable, peer_surface
from tests.access.house import House
from tests.edge.clients import ENVELOPE, MODERN

BODY = json.dumps(
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "box__echo", "arguments": {"text": "x"}, "_meta": ENVELOPE},
    }
).encode()


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("sidecar.invalid", timeout=20)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


def asked(path: Path, headers: Mapping[str, str] = {}) -> tuple[int, Any]:
    """Status and JSON of one tools/call."""
    connection = UnixConnection(path)
    usual = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": MODERN,
        "Mcp-Method": "tools/call",
        "Mcp-Name": "box__echo",
    }
    try:
        connection.request("POST", "/mcp", BODY, {**usual, **headers})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")
    finally:
        connection.close()


def test_a_process_is_who_its_user_is_without_a_token(house: House) -> None:
    status, document = asked(house.gateway.folder / "peers.sock")
    assert status == 200
    entry = house.box.entry(document["result"]["_meta"]["dev.sealgate/receipt"])
    assert entry.predicate["run"]["principal_chain"] == ["service:sidecar"]


def test_a_token_changes_nothing_about_who_a_process_is(house: House) -> None:
    status, document = asked(house.gateway.folder / "peers.sock", {"Authorization": "Bearer bob-token"})
    entry = house.box.entry(document["result"]["_meta"]["dev.sealgate/receipt"])
    assert (status, entry.predicate["run"]["principal_chain"]) == (200, ["service:sidecar"])


def test_anybody_may_open_the_socket_since_the_kernel_says_who_it_is(house: House) -> None:
    assert stat.S_IMODE((house.gateway.folder / "peers.sock").stat().st_mode) == 0o666


def test_over_tcp_nobody_is_a_process_of_this_machine(house: House) -> None:
    assert house.call(None, source="127.0.0.50").status == 401


def admitting(folder: Path, *rules: PeerRule, sent: tuple[dict[str, str], ...] = ({},)) -> list[tuple[int, Any]]:
    """What a door with these rules says to this process."""
    path = folder / "p.sock"
    named = Caller("example", Principal(PrincipalKind.USER, "bob"), (), frozenset({"agent"}))
    credentials = Credentials(TokenTable({token_digest("bob-token"): named}))
    door = Door(credentials, allowed("127.0.0.1", 1), peers=PeerTable(rules))

    async def who(request: Request) -> Response:
        caller = await door.admit(request)
        return caller if isinstance(caller, Response) else JSONResponse({"who": str(caller.principal)})

    async def run() -> list[tuple[int, Any]]:
        app = Starlette(routes=[Route("/mcp", who, methods=["POST"])])
        async with peer_surface(app, path):
            answers = [await asyncio.to_thread(partial(asked, path, headers=headers)) for headers in sent]
        assert not path.exists()
        return answers

    return asyncio.run(run())


def rule(uid: int | None, gid: int | None, name: str) -> PeerRule:
    return PeerRule(uid, gid, Caller("example", Principal(PrincipalKind.SERVICE, name), (), frozenset({"agent"})))


def test_a_user_that_no_rule_names_is_refused_with_a_token_or_without(tmp_path: Path) -> None:
    stranger = rule(os.getuid() + 1, None, "another")
    sent: tuple[dict[str, str], ...] = ({}, {"Authorization": "Bearer bob-token"})
    refused = {"error": "forbidden", "message": "No rule of listen.peers names your user."}
    assert admitting(tmp_path, stranger, sent=sent) == [(403, refused), (403, refused)]


@pytest.mark.parametrize(
    ("uid", "gid", "fits"), [(0, None, True), (None, 0, True), (0, 0, True), (0, 1, False), (1, 0, False), (None, 1, False)]
)
def test_a_rule_fits_where_all_that_it_names_fits_and_the_first_one_counts(
    tmp_path: Path, uid: int | None, gid: int | None, fits: bool
) -> None:
    mine = rule(None if uid is None else os.getuid() + uid, None if gid is None else os.getgid() + gid, "first")
    answers = admitting(tmp_path, mine, rule(os.getuid(), None, "second"))
    assert answers == [(200, {"who": "service:first" if fits else "service:second"})]


def test_a_socket_that_a_killed_gateway_left_is_replaced_and_anything_else_is_not(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "p.sock"))
    assert admitting(tmp_path, rule(os.getuid(), None, "me")) == [(200, {"who": "service:me"})]
    (tmp_path / "p.sock").write_text("mine")
    with pytest.raises(ConfigError, match="is no socket"):
        admitting(tmp_path, rule(os.getuid(), None, "me"))
    assert (tmp_path / "p.sock").read_text() == "mine"


def test_a_path_that_no_socket_can_have_is_told(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 120)
    long.mkdir()
    with pytest.raises(ConfigError, match="too long"):
        admitting(long)
    with pytest.raises(ConfigError, match="cannot be used"):
        admitting(tmp_path / "nowhere")
