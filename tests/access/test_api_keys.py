"""API keys: made once, kept as a hash, revoked at once."""

import http.client
import json
import os
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.clock import SystemClock
from gateway.adapters.keys import make_keys
from gateway.adapters.keys.api_keys import ApiKeyFile
from gateway.core.api_key import ENTROPY_BYTES, ApiKey, api_key_digest, api_key_id, make_api_key
from gateway.core.entry import Kind, Record
from gateway.core.errors import StoreFault
from gateway.core.run_context import principal_named
from gateway.core.secret_formats import without_secrets
from gateway.edge.api_keys import ApiKeyDesk
from gateway.edge.auth import NotValid
from tests.access.house import House, ServingGateway
from tests.edge.box import Box, run_cli
from tests.edge.clients import ENVELOPE, MODERN, HandshakeClient, send
from tests.running import RunningGateway, until


@contextmanager
def listening(gateway: RunningGateway, session: HandshakeClient, token: str) -> Iterator[http.client.HTTPResponse]:
    """The stream of a session (GET), open."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    headers = {
        "Authorization": f"Bearer {token}",
        "Accept": "text/event-stream",
        "MCP-Protocol-Version": session.version,
        "Mcp-Session-Id": session.session_id,
    }
    try:
        connection.request("GET", "/mcp", headers=headers)
        response = connection.getresponse()
        assert response.status == 200
        yield response
    finally:
        connection.close()


@contextmanager
def subscribed(gateway: RunningGateway, token: str) -> Iterator[http.client.HTTPResponse]:
    """A subscription of 2026-07-28, open."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    params = {"notifications": {"toolsListChanged": True}, "_meta": ENVELOPE}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params})
    headers = {
        "Authorization": f"Bearer {token}",
        "Accept": "application/json, text/event-stream",
        "Content-Type": "application/json",
        "MCP-Protocol-Version": MODERN,
        "Mcp-Method": "subscriptions/listen",
    }
    try:
        connection.request("POST", "/mcp", body, headers)
        response = connection.getresponse()
        assert response.status == 200
        yield response
    finally:
        connection.close()


def ended(response: http.client.HTTPResponse) -> bool:
    """Whether the stream comes to its own end, and not by a cut connection or a time-out."""
    try:
        return response.read() is not None
    except (OSError, http.client.HTTPException):
        return False


@given(st.binary(min_size=ENTROPY_BYTES, max_size=ENTROPY_BYTES), st.data())
def test_a_key_is_recognised_by_its_form_and_a_mistyped_one_is_not(entropy: bytes, data: st.DataObject) -> None:
    key = make_api_key(entropy)
    assert api_key_id(key) == entropy[:6].hex()
    assert api_key_id(key + "0") is None
    place = data.draw(st.integers(0, len(key) - 1))
    other = data.draw(st.sampled_from([char for char in "abcdefz01234567_" if char != key[place]]))
    assert api_key_id(key[:place] + other + key[place + 1 :]) is None
    assert without_secrets(f"the key {key} leaked") == ("the key [redacted: sealgate-api-key] leaked", ("sealgate-api-key",))


def test_a_key_lets_in_who_it_was_made_for_and_the_log_knows_of_it(house: House) -> None:
    size = house.box.size()
    key_id, key = house.make_key("--principal", "service:billing", "--actor", "agent:a", "--actor", "agent:b")
    made = house.box.entries(size)[0]
    assert (made.kind, made.predicate["credential"]) == (
        Kind.CREDENTIAL,
        {
            "event": "made",
            "id": key_id,
            "principal": "service:billing",
            "actors": ["agent:a", "agent:b"],
            "roles": ["agent"],
            "expires_at": None,
        },
    )
    answer = house.call(key)
    assert house.chain(answer) == ["service:billing", "agent:a", "agent:b"]
    assert house.run(answer)["credential"] == f"key:{key_id}"
    assert house.run(house.call("bob-token"))["credential"] == "token"


def test_only_a_hash_of_it_is_kept_where_only_the_gateway_reads(house: House) -> None:
    key_id, key = house.make_key("--principal", "service:hidden")
    path = house.gateway.state / "api_keys.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    kept = path.read_text()
    assert api_key_digest(key) in kept
    secret = key.split("_")[2]
    for place in (kept, house.gateway.output, str(house.box.json("keys", "api", "list"))):
        assert secret not in place
    listed = {one["id"]: one for one in house.box.json("keys", "api", "list")["keys"]}
    assert (listed[key_id]["state"], "sha256" in listed[key_id]) == ("valid", False)


def test_a_role_is_what_the_key_may_be_used_for(house: House) -> None:
    _, auditor = house.make_key("--principal", "user:carol", "--role", "auditor")
    result = house.call(auditor).json()["result"]
    assert result["_meta"]["dev.sealgate/outcome"]["reasons"] == ["subject.not_agent"]


@pytest.mark.parametrize("change", ["secret", "check", "id", "case", "cut"])
def test_a_key_that_is_not_the_one_that_was_made_lets_nobody_in(house: House, change: str) -> None:
    key_id, key = house.make_key("--principal", "service:billing")
    other = make_api_key(bytes.fromhex(key_id) + os.urandom(32))
    wrong = {"secret": other, "check": key[:-8] + "00000000", "id": make_api_key(os.urandom(38))}
    wrong |= {"case": key.upper(), "cut": key[:-1]}
    answer = house.call(wrong[change], source="127.0.0.40")
    assert (answer.status, answer.json()["error"]) == (401, "invalid_token")


def test_a_revoked_key_counts_no_more_and_what_is_open_with_it_ends(house: House) -> None:
    key_id, key = house.make_key("--principal", "service:leaver")
    _, other = house.make_key("--principal", "service:leaver")
    slow: list[int] = []
    with HandshakeClient(house.gateway, token=key) as mine, HandshakeClient(house.gateway, token=other) as theirs:
        with (
            listening(house.gateway, mine, key) as open_stream,
            subscribed(house.gateway, key) as subscription,
            listening(house.gateway, theirs, other) as other_stream,
        ):
            calling = threading.Thread(target=lambda: slow.append(house.call(key, "box__slow_write", text="revoked").status))
            calling.start()
            until(lambda: any("revoked" in line for line in house.box.lines("calls")), what="the call")
            size = house.box.size()
            assert house.box.run("keys", "api", "revoke", key_id).code == 0
            assert ended(open_stream)
            assert ended(subscription)
            (house.box.folder / "go-revoked").touch()
            calling.join(20)
            assert slow == [401], "nobody gets an answer with a key that was revoked"
            assert house.box.lines("rows").count("slow_write revoked") == 1, "what was begun is finished"
            assert not other_stream.closed
        assert house.call(key, source="127.0.0.41").status == 401
        told = [entry.predicate["credential"] for entry in house.box.entries(size) if entry.kind is Kind.CREDENTIAL]
        assert told == [{"event": "revoked", "id": key_id, "principal": "service:leaver"}]
        assert "result" in theirs.request("tools/list", {})
        stolen: dict[str, str | None] = {
            "Authorization": f"Bearer {other}",
            "MCP-Protocol-Version": mine.version,
            "Mcp-Session-Id": mine.session_id,
        }
        body = b'{"jsonrpc":"2.0","id":7,"method":"tools/list"}'
        assert send(house.gateway, body, stolen).status == 404
    assert house.box.run("keys", "api", "revoke", key_id).code == 0, "once more does no harm"


def test_a_key_ends_with_its_time_and_so_does_what_stands_open(house: House) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=2.5)
    _, key = house.make_key(
        "--principal", "service:guest", "--expires", f"{soon:%Y-%m-%dT%H:%M:%S}.{soon.microsecond // 1000:03d}Z"
    )
    with HandshakeClient(house.gateway, token=key) as guest, listening(house.gateway, guest, key) as open_stream:
        assert house.call(key).status == 200
        assert ended(open_stream)
        assert time.time() >= soon.timestamp() - 0.1
    assert house.call(key, source="127.0.0.42").status == 401


@contextmanager
def half_sent(gateway: RunningGateway, token: str, text: str) -> Iterator[tuple[http.client.HTTPConnection, bytes]]:
    """A call of which the gateway has all but the last part."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    params = {"name": "box__add_row", "arguments": {"text": text}, "_meta": ENVELOPE}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    headers = {
        "Authorization": f"Bearer {token}",
        "Accept": "application/json, text/event-stream",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "MCP-Protocol-Version": MODERN,
        "Mcp-Method": "tools/call",
        "Mcp-Name": "box__add_row",
    }
    try:
        connection.putrequest("POST", "/mcp")
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(body[:10])
        yield connection, body[10:]
    finally:
        connection.close()


def test_a_call_that_was_half_sent_when_its_key_was_revoked_is_not_made(house: House) -> None:
    key_id, key = house.make_key("--principal", "service:slow")
    assert house.call(key, "box__add_row", text="while it counts").status == 200
    with half_sent(house.gateway, key, "half sent") as (connection, rest):
        house.call(key)  # the gateway has seen the other one's beginning by then
        assert house.box.run("keys", "api", "revoke", key_id).code == 0
        with suppress(OSError):
            connection.send(rest)
        response = connection.getresponse()
        assert response.status == 401
    assert not [line for line in house.box.lines("rows") if "half sent" in line]


def test_a_call_that_was_half_sent_when_its_key_expired_is_not_made(house: House) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=2.5)
    _, key = house.make_key("--principal", "service:slow", "--expires", f"{soon:%Y-%m-%dT%H:%M:%S}.999Z")
    with half_sent(house.gateway, key, "too late") as (connection, rest):
        until(lambda: house.call(key, source="127.0.0.43").status == 401, what="the key's end")
        with suppress(OSError):
            connection.send(rest)
        assert connection.getresponse().status == 401
    assert not [line for line in house.box.lines("rows") if "too late" in line]


@pytest.mark.anyio
@pytest.mark.parametrize("full", ["disk", "log"])
async def test_a_revocation_that_did_not_get_to_the_disk_is_made_good_when_it_is_asked_for_again(
    tmp_path: Path, full: str
) -> None:
    file, recorded, failing = ApiKeyFile(tmp_path / "api_keys.json"), [], True

    async def record(record: Record) -> None:
        if failing and full == "log" and record.body["credential"]["event"] == "revoked":
            raise StoreFault("the log cannot be written")
        recorded.append(record.body["credential"]["event"])

    desk = ApiKeyDesk(file, "example", record, SystemClock())
    text = make_api_key(os.urandom(ENTROPY_BYTES))
    key_id = str(api_key_id(text))
    who = principal_named("service:leaver")
    await desk.add(ApiKey(key_id, api_key_digest(text), who, (), frozenset({"agent"}), SystemClock().now()))
    if full == "disk":
        (tmp_path / "api_keys.json.new").mkdir()  # so that the file cannot be replaced
    with pytest.raises(StoreFault):
        await desk.revoke(key_id)
    assert isinstance(desk.authenticate(text), NotValid), "it counts no more all the same"
    failing = False
    if full == "disk":
        (tmp_path / "api_keys.json.new").rmdir()
    await desk.revoke(key_id)
    assert recorded == ["made", "revoked"]
    assert file.load()[key_id].revoked_at is not None, "else it would count again after a restart"
    await desk.revoke(key_id)
    assert recorded == ["made", "revoked"], "once is enough"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--principal", "billing"), "is no principal"),
        (("--principal", "user:x", "--actor", "x y"), "is no principal"),
        (("--principal", "user:x", "--expires", "soon"), "no time in UTC"),
        (("--principal", "user:x", "--expires", "2027-01-01T00:00:00+02:00"), "no time in UTC"),
        (("--principal", "user:x", "--expires", "2020-01-01T00:00:00Z"), "is over already"),
        (("--principal", "user:x", "--expires", "100000d"), "no time in UTC"),
    ],
)
def test_a_key_that_makes_no_sense_is_not_made(house: House, arguments: tuple[str, ...], said: str) -> None:
    done = house.box.run("keys", "api", "new", *arguments)
    assert (done.code, said in done.stderr, done.stdout) == (2, True, "")


@pytest.mark.parametrize(("key_id", "said"), [("0" * 12, "there is no API key"), ("../x", "no id of an API key")])
def test_what_is_no_key_cannot_be_revoked(house: House, key_id: str, said: str) -> None:
    done = house.box.run("keys", "api", "revoke", key_id)
    assert (done.code != 0, said in done.stderr) == (True, True)


def test_keys_made_before_the_first_start_are_enough_to_serve(tmp_path: Path) -> None:
    gateway = ServingGateway(tmp_path, verb="serve")
    gateway.configure("tools: []\n")
    refused = run_cli("keys", "api", "new", "--principal", "user:x", state=gateway.state)
    assert (refused.code, "sealgate keys new" in refused.stderr) == (1, True)
    make_keys(gateway.state / "keys", origin="sealgate.local/default", dev=False)
    box = Box(gateway, tmp_path)
    first, second = (box.json("keys", "api", "new", "--principal", f"user:{name}") for name in ("a", "b"))
    assert box.run("keys", "api", "revoke", second["id"]).code == 0
    assert [one["state"] for one in box.json("keys", "api", "list")["keys"]] == ["valid", "revoked"]
    with gateway:
        statuses = [
            send(
                gateway,
                b'{"jsonrpc":"2.0","id":7,"method":"tools/list","params":{"_meta":{'
                b'"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}',
                {"Authorization": f"Bearer {key['key']}", "Mcp-Method": "tools/list", "Mcp-Name": None},
            ).status
            for key in (first, second)
        ]
        kinds = [entry.kind for entry in box.entries()]
        box.assert_sound()
    assert statuses == [200, 401]
    assert kinds == [Kind.CREDENTIAL, Kind.CREDENTIAL, Kind.CREDENTIAL, Kind.BOOT]
    for text, mode, code in (
        ("{}", 0o600, "config.invalid"),
        (gateway.state.joinpath("api_keys.json").read_text(), 0o644, "keys.unusable"),
    ):
        (gateway.state / "api_keys.json").write_text(text)
        (gateway.state / "api_keys.json").chmod(mode)
        refused = run_cli("serve", "--config", str(tmp_path / "gateway.yaml"), state=gateway.state)
        assert (refused.code != 0, f"error[{code}]" in refused.stderr) == (True, True), refused
