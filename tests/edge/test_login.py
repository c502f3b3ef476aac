"""Who gets in: origin, host, token, and whose session it is."""

import hashlib
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.adapters.keys import make_keys
from gateway.edge.sessions import MAX_SESSIONS_PER_CALLER
from tests.edge.box import Box, boxed, configured
from tests.edge.clients import Answer, HandshakeClient, send
from tests.edge.frames import call
from tests.running import ModernClient, RunningGateway, outcome

FINE = call('{"text":"fine"}')


class ServingGateway(RunningGateway):
    """`sealgate serve`: its first caller's token instead of a development token."""

    @property
    def token(self) -> str:
        return "alice-token"


@pytest.fixture(scope="module")
def served(box: Box, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A production gateway with three callers."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "box").mkdir()
    callers = "".join(
        f'  - {{principal: "{principal}", actors: [{actors}], roles: [{role}], '
        f"token_sha256: {hashlib.sha256(token.encode()).hexdigest()}}}\n"
        for principal, actors, role, token in (
            ("user:alice", '"agent:helper"', "agent", "alice-token"),
            ("user:bob", "", "agent", "bob-token"),
            ("user:carol", "", "auditor", "carol-token"),
        )
    )
    shutil.copy(box.gateway.folder / "gateway.lock", folder)
    gateway = ServingGateway(folder, verb="serve")
    gateway.configure(configured(folder / "box", "callers:\n" + callers))
    make_keys(gateway.state / "keys", origin="sealgate.local/default", dev=False)
    with gateway:
        running = Box(gateway, folder / "box")
        yield running
        running.assert_sound()


def test_a_page_of_another_origin_is_refused(box: Box) -> None:
    assert send(box.gateway, FINE, {"Origin": "http://evil.example"}).status == 403
    assert send(box.gateway, FINE, {"Origin": "null"}).status == 403
    assert send(box.gateway, FINE, {"Origin": f"http://127.0.0.1:{box.gateway.port}"}).status == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:1", "127.0.0.1", "127.0.0.1.evil.example", ""])
def test_another_host_is_refused(box: Box, host: str) -> None:
    assert send(box.gateway, FINE, {"Host": host}).status == 421


def test_origin_and_host_come_before_the_token(box: Box) -> None:
    assert send(box.gateway, FINE, {"Origin": "http://evil.example", "Authorization": None}).status == 403
    assert send(box.gateway, FINE, {"Host": "evil.example", "Authorization": None}).status == 421


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic YTpi", "Bearer \xe9\xff"])
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_without_the_token_nothing_is_answered_or_logged(box: Box, authorization: str | None, method: str) -> None:
    size = box.size()
    answer = send(box.gateway, FINE, {"Authorization": authorization}, method=method, source="127.0.0.8")
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert box.size() == size


def test_the_scheme_may_be_written_in_any_case(box: Box) -> None:
    assert send(box.gateway, FINE, {"Authorization": f"bearer {box.gateway.token}"}).status == 200


def test_guessing_is_slowed_down_and_harms_no_other_address(box: Box) -> None:
    guesses = [
        send(box.gateway, FINE, {"Authorization": f"Bearer {guess}"}, source="127.0.0.9").status for guess in range(40)
    ]
    assert guesses[:30] == [401] * 30
    assert guesses[30:] == [429] * 10
    assert send(box.gateway, FINE, {"Authorization": "Bearer guess"}, source="127.0.0.10").status == 401
    assert send(box.gateway, FINE).status == 200


def test_a_client_that_knows_its_token_is_not_locked_out_by_guesses_from_its_address(box: Box) -> None:
    for guess in range(40):
        send(box.gateway, FINE, {"Authorization": f"Bearer {guess}"}, source="127.0.0.11")
    assert send(box.gateway, FINE, source="127.0.0.11").status == 200


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_without_a_session_there_is_nothing_to_listen_to_or_end(box: Box, method: str) -> None:
    assert send(box.gateway, method=method).status == 405
    assert send(box.gateway, headers={"MCP-Protocol-Version": None}, method=method).status == 400
    unknown: dict[str, str | None] = {"MCP-Protocol-Version": None, "Mcp-Session-Id": "0" * 32}
    assert send(box.gateway, headers=unknown, method=method).status == 404


def test_a_session_ends_once(box: Box) -> None:
    with HandshakeClient(box.gateway) as client:
        assert client.delete().status_code == 200
        assert client.delete().status_code == 404
        assert client.post(b'{"jsonrpc":"2.0","id":7,"method":"tools/list"}').status_code == 404


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
def test_a_session_belongs_to_the_caller_that_opened_it(served: Box, method: str) -> None:
    with HandshakeClient(served.gateway, token="alice-token") as alice:
        stolen: dict[str, str | None] = {
            "Authorization": "Bearer bob-token",
            "MCP-Protocol-Version": alice.version,
            "Mcp-Session-Id": alice.session_id,
        }
        list_tools = b'{"jsonrpc":"2.0","id":7,"method":"tools/list"}' if method == "POST" else b""
        assert send(served.gateway, list_tools, stolen, method=method).status == 404
        assert "result" in alice.request("tools/list", {})


def test_each_caller_is_in_its_entries_which_are_not_marked_dev(served: Box) -> None:
    chains = {}
    for token in ("alice-token", "bob-token"):
        with ModernClient(served.gateway, token=token) as client:
            receipt = client.call("box__echo", {"text": "fine"})["result"]["_meta"]["dev.sealgate/receipt"]
        entry = served.entry(receipt)
        chains[token] = entry.predicate["run"]["principal_chain"]
        assert entry.predicate["dev"] is False
    assert chains == {"alice-token": ["user:alice", "agent:helper"], "bob-token": ["user:bob"]}


def test_a_key_is_the_callers_own(served: Box) -> None:
    for token in ("alice-token", "bob-token", "bob-token"):
        with ModernClient(served.gateway, token=token) as client:
            client.call("box__add_row", {"text": "shared key"}, key="shared")
    assert served.lines("rows").count("add_row shared key") == 2


def test_a_caller_without_the_role_agent_calls_nothing(served: Box) -> None:
    with ModernClient(served.gateway, token="carol-token") as client:
        response = client.call("box__echo", {"text": "x"})
    assert outcome(response) == {"outcome": "denied", "reasons": ["subject.not_agent"]}


def test_the_state_folder_is_its_owners_alone(box: Box) -> None:
    state: Path = box.gateway.state
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in (state, state / "mcp.sock", state / "control.sock")}
    assert modes == {".sealgate": "0o700", "mcp.sock": "0o600", "control.sock": "0o600"}
    private = [path for path in (state / "keys", state / "dev") for path in path.iterdir() if path.suffix != ".json"]
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in private} == {path.name: "0o600" for path in private}


def test_a_state_folder_that_others_could_read_is_closed_at_the_next_start(tmp_path: Path) -> None:
    with boxed(tmp_path) as box:
        assert box.gateway.stop() == 0
        box.gateway.state.chmod(0o755)
        box.gateway.start()
        assert oct(box.gateway.state.stat().st_mode & 0o777) == "0o700"


def test_a_caller_opens_so_many_sessions_and_harms_no_other(served: Box) -> None:
    params = '{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"raw","version":"1"}}'
    body = f'{{"jsonrpc":"2.0","id":"open","method":"initialize","params":{params}}}'.encode()

    def opened(token: str) -> Answer:
        return send(served.gateway, body, {"Authorization": f"Bearer {token}", "MCP-Protocol-Version": None})

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(opened, ["carol-token"] * 80))
    ids = [answer.headers["mcp-session-id"] for answer in answers if answer.status == 200]
    assert len(ids) == MAX_SESSIONS_PER_CALLER
    refused = opened("carol-token")
    assert (refused.status, refused.json()["id"], refused.json()["error"]["code"]) == (429, "open", -32000)
    assert opened("bob-token").status == 200
    with ModernClient(served.gateway, token="carol-token") as modern:
        assert "result" in modern.request("tools/list", {})

    def end(token: str, session_id: str) -> int:
        told: dict[str, str | None] = {"Authorization": f"Bearer {token}", "Mcp-Session-Id": session_id}
        return send(served.gateway, headers={**told, "MCP-Protocol-Version": None}, method="DELETE").status

    assert end("bob-token", ids[0]) == 404
    assert opened("carol-token").status == 429
    assert end("carol-token", ids[0]) == 200
    assert [opened("carol-token").status for _ in range(2)] == [200, 429]
    assert [end("carol-token", session_id) for session_id in ids[1:]] == [200] * (len(ids) - 1)
