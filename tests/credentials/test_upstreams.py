"""What reaches an upstream that has credentials, and when nothing does."""

import asyncio
import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from starlette.responses import JSONResponse, RedirectResponse, Response

from gateway.adapters.upstream.credentials.spec import (
    ClientCredentialsSpec,
    ClientSpec,
    CredentialsSpec,
    FromEnvironment,
    FromFile,
    FromKeyring,
    StaticSpec,
    TokenExchangeSpec,
)
from gateway.adapters.upstream.spec import HttpSpec, OpenApiSpec
from gateway.adapters.upstream.status import State
from gateway.core.errors import ConfigError
from gateway.core.reply import NotSent, ToolReply, UpstreamReply
from tests.credentials.authority import CLIENT, Authority, Recorder
from tests.openapi.documents import document, operation, parameter
from tests.openapi.stub import as_json, serving
from tests.upstream.world import QUICK, World, eventually, running

pytestmark = pytest.mark.anyio
PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
KEYS: dict[str, Callable[[], PrivateKey]] = {
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "RS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
}


def private(path: Path, text: str) -> FromFile:
    """A file that its owner alone may read."""
    path.unlink(missing_ok=True)
    path.write_text(text)
    path.chmod(0o600)
    return FromFile(str(path))


def pem(key: PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def client(authority: Authority, tmp_path: Path, **changed: Any) -> ClientSpec:
    """The gateway as that server knows it."""
    secret = private(tmp_path / "client.secret", authority.secret)
    return replace(ClientSpec(authority.token_url, CLIENT, secret, scopes=("crm.read", "crm.write")), **changed)


def exchange(authority: Authority, tmp_path: Path) -> TokenExchangeSpec:
    """Token exchange, with a key that the server knows."""
    key = ed25519.Ed25519PrivateKey.generate()
    authority.subject_key = key.public_key()
    told = client(authority, tmp_path)
    return TokenExchangeSpec(told, "https://gateway.example", authority.token_url, private(tmp_path / "key.pem", pem(key)))


def crm(recorder: Recorder, credentials: CredentialsSpec) -> HttpSpec:
    return HttpSpec("crm", recorder.url, limits=QUICK, credentials=credentials)


def reason(reply: UpstreamReply) -> str:
    assert isinstance(reply, NotSent), reply
    return reply.reason.code


async def done(world: World, **more: Any) -> None:
    reply = await world.run_sealed(world.call("crm", "look", {"text": "x"}, **more))
    assert isinstance(reply, ToolReply), reply
    assert reply.document.get("isError") is not True, reply


# -- a secret as it is


async def test_a_secret_is_sent_in_its_header_and_a_new_one_from_then_on(recorder: Recorder, tmp_path: Path) -> None:
    recorder.takes_any = True
    spec = StaticSpec("X-API-Key", None, private(tmp_path / "key", "first\n"))
    async with running(crm(recorder, spec)) as world:
        await done(world)
        private(tmp_path / "key", "second\n")
        await until_sent(world, recorder, "second")
    assert {headers.get("x-api-key") for _, headers, _ in recorder.seen} == {"first", "second"}
    assert {method for method, headers, _ in recorder.seen if headers.get("x-api-key") == "first"} >= {
        "server/discover",
        "tools/list",
        "tools/call",
    }


async def until_sent(world: World, recorder: Recorder, value: str) -> None:
    end = time.monotonic() + 20
    while True:
        await done(world)
        if recorder.calls()[-1][0].get("x-api-key") == value:
            return
        assert time.monotonic() < end
        await asyncio.sleep(0.05)


async def test_a_secret_that_others_may_read_from_now_on_is_used_no_more(recorder: Recorder, tmp_path: Path) -> None:
    recorder.takes_any = True
    spec = StaticSpec("Authorization", "Bearer", private(tmp_path / "key", "quiet-secret"))
    async with running(crm(recorder, spec)) as world:
        await done(world)
        assert recorder.calls()[-1][0]["authorization"] == "Bearer quiet-secret"
        (tmp_path / "key").chmod(0o644)
        end = time.monotonic() + 20
        while isinstance(reply := await world.run("crm", "look", {}), ToolReply):
            assert time.monotonic() < end
            await asyncio.sleep(0.05)
        assert reason(reply) == "upstream.no_credentials"
        refused = await world.ready(world.capability("crm", "look"))
        assert refused is not None
        assert refused.code == "upstream.no_credentials"
        count = len(recorder.calls())
        await world.run("crm", "look", {})
        assert len(recorder.calls()) == count


@pytest.mark.parametrize("wrong", ["missing", "readable", "folder", "fifo", "empty", "binary", "unset", "no key"])
async def test_without_its_secret_the_gateway_does_not_start(recorder: Recorder, tmp_path: Path, wrong: str) -> None:
    path = tmp_path / "key"
    ref: FromFile | FromEnvironment = FromFile(str(path))
    spec: CredentialsSpec = StaticSpec("X-API-Key", None, ref)
    match wrong:
        case "readable":
            private(path, "quiet-secret")
            path.chmod(0o640)
        case "folder":
            path.mkdir(0o700)
        case "fifo":
            os.mkfifo(path, 0o600)
        case "empty":
            private(path, " \n")
        case "binary":
            private(path, "x")
            path.write_bytes(b"\xff\xfe")
        case "unset":
            spec = StaticSpec("X-API-Key", None, FromEnvironment("SEALGATE_TEST_UNSET_VARIABLE"))
        case "no key":
            private(path, "quiet-secret")
            told = ClientSpec(f"{recorder.authority.url}/token", CLIENT, key=ref)
            spec = ClientCredentialsSpec(told)
    with pytest.raises(ConfigError) as caught:
        async with running(crm(recorder, spec)):
            pass
    assert "no credentials for upstream crm" in str(caught.value)
    assert "quiet-secret" not in str(caught.value)
    assert recorder.seen == []


async def test_a_secret_from_the_environment(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder.takes_any = True
    monkeypatch.setenv("CRM_KEY", "from-the-environment")
    async with running(crm(recorder, StaticSpec("X-API-Key", None, FromEnvironment("CRM_KEY")))) as world:
        await done(world)
    assert recorder.calls()[-1][0]["x-api-key"] == "from-the-environment"


async def test_a_secret_from_the_keyring(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    keyring = pytest.importorskip("keyring", reason="the keyring extra is not installed")
    from keyring.backend import KeyringBackend

    class Held(KeyringBackend):
        """A back end of the library, as those of operating systems are."""

        priority = 1

        def get_password(self, service: str, username: str) -> str | None:
            return "from-the-keyring" if (service, username) == ("crm", "gateway") else None

        def set_password(self, service: str, username: str, password: str) -> None:
            raise NotImplementedError

        def delete_password(self, service: str, username: str) -> None:
            raise NotImplementedError

    before = keyring.get_keyring()
    keyring.set_keyring(Held())  # type: ignore[no-untyped-call]
    recorder.takes_any = True
    try:
        async with running(crm(recorder, StaticSpec("X-API-Key", None, FromKeyring("crm", "gateway")))) as world:
            await done(world)
        with pytest.raises(ConfigError, match="crm/nobody is empty or not set"):
            async with running(crm(recorder, StaticSpec("X-API-Key", None, FromKeyring("crm", "nobody")))):
                pass
    finally:
        keyring.set_keyring(before)
    assert recorder.calls()[-1][0]["x-api-key"] == "from-the-keyring"


# -- a token for the gateway


async def test_a_token_is_fetched_once_and_carried_by_everything_that_is_sent(
    authority: Authority, recorder: Recorder, tmp_path: Path
) -> None:
    told = client(authority, tmp_path, resources=(recorder.url,), audiences=("crm",))
    async with running(crm(recorder, ClientCredentialsSpec(told))) as world:
        await asyncio.gather(*(done(world, user=user) for user in ("alice", "bob", "carol")))
    (form,) = authority.asked
    assert form["grant_type"] == "client_credentials"
    assert (form["scope"], form["resource"], form["audience"]) == ("crm.read crm.write", recorder.url, "crm")
    assert all(claims.get("sub") == CLIENT for _, _, claims in recorder.seen)


@pytest.mark.parametrize("algorithm", KEYS)
async def test_a_client_can_prove_itself_by_a_key(
    authority: Authority, recorder: Recorder, tmp_path: Path, algorithm: str
) -> None:
    key = KEYS[algorithm]()
    authority.client_key = key.public_key()
    told = client(authority, tmp_path, secret=None, key=private(tmp_path / "client.pem", pem(key)))
    async with running(crm(recorder, ClientCredentialsSpec(told))) as world:
        await done(world)
    assert authority.refused == []
    assert authority.secret not in str(authority.asked)


async def test_a_token_is_renewed_before_it_expires(authority: Authority, recorder: Recorder, tmp_path: Path) -> None:
    authority.seconds = 1.0
    async with running(crm(recorder, ClientCredentialsSpec(client(authority, tmp_path)))) as world:
        first = len(authority.asked)
        end = time.monotonic() + 20
        while len(authority.asked) < first + 2:
            assert time.monotonic() < end
            await done(world)
            await asyncio.sleep(0.05)
    assert all(claims for _, claims in recorder.calls()), "an expired token was sent"


async def test_a_refused_token_is_dropped_and_the_call_is_not_made_again(
    authority: Authority, recorder: Recorder, tmp_path: Path
) -> None:
    async with running(crm(recorder, ClientCredentialsSpec(client(authority, tmp_path)))) as world:
        await done(world)
        asked, calls = len(authority.asked), len(recorder.calls())
        authority.living.clear()  # revoked
        assert reason(await world.run("crm", "look", {"text": "y"})) == "upstream.unauthorized"
        assert len(recorder.calls()) == calls + 1
        await done(world)
        assert len(authority.asked) == asked + 1
        recorder.refuses = 1  # and says why in JSON-RPC, as the SDK's servers do
        assert reason(await world.run("crm", "look", {"text": "z"})) == "upstream.unauthorized"
        assert "z" not in recorder.done


async def test_a_new_client_secret_takes_the_old_tokens_along(
    authority: Authority, recorder: Recorder, tmp_path: Path
) -> None:
    async with running(crm(recorder, ClientCredentialsSpec(client(authority, tmp_path)))) as world:
        await done(world)
        asked = len(authority.asked)
        authority.secret = "another"
        private(tmp_path / "client.secret", authority.secret)
        end = time.monotonic() + 20
        while len(authority.asked) == asked:
            assert time.monotonic() < end
            await done(world)
            await asyncio.sleep(0.05)
    assert authority.refused == []


def _json(status: int = 200, **changed: Any) -> Callable[[], Response]:
    usual = {"access_token": "tok_x", "token_type": "Bearer", "expires_in": 600}
    return lambda: JSONResponse({**usual, **changed}, status)


BROKEN: dict[str, Callable[[], Response]] = {
    "error": lambda: JSONResponse({"error": "invalid_client"}, 401),
    "server error": lambda: Response("no", 500),
    "redirect": lambda: RedirectResponse("/elsewhere", 307),
    "no JSON": lambda: Response("token=tok_x", media_type="application/json"),
    "another type": lambda: Response('{"access_token": "tok_x", "token_type": "Bearer"}', media_type="text/plain"),
    "duplicate keys": lambda: Response(
        '{"access_token": "tok_x", "access_token": "tok_y", "token_type": "Bearer"}', media_type="application/json"
    ),
    "a list": lambda: JSONResponse(["tok_x"]),
    "too long": _json(padding="x" * 70_000),
    "no bearer": _json(token_type="DPoP"),
    "no token": _json(access_token=""),
    "line break": _json(access_token="tok\r\nx-injected: 1"),
    "compressed": lambda: Response(b"x", headers={"content-encoding": "gzip"}, media_type="application/json"),
}


@pytest.mark.parametrize("how", BROKEN)
async def test_without_a_token_nothing_is_sent(
    authority: Authority, recorder: Recorder, tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    with caplog.at_level(logging.DEBUG):
        async with running(crm(recorder, exchange(authority, tmp_path))) as world:
            authority.broken = BROKEN[how]
            assert reason(await world.run("crm", "look", {})) == "upstream.no_credentials"
    assert recorder.calls() == []
    told = [record.getMessage() for record in caplog.records if "no token for upstream crm" in record.getMessage()]
    assert told
    assert not [line for line in caplog.messages if authority.secret in line or "tok_" in line or "leaks" in line]


async def test_an_upstream_without_a_token_is_down_until_there_is_one(
    authority: Authority, recorder: Recorder, tmp_path: Path
) -> None:
    authority.broken = BROKEN["error"]
    async with running(crm(recorder, ClientCredentialsSpec(client(authority, tmp_path)))) as world:
        assert world.status("crm").state is State.DOWN
        assert world.status("crm").reason == "There are no credentials for it now; the log says why."
        assert recorder.seen == []
        authority.broken = None
        await world.is_up("crm")
        await done(world)


async def test_a_token_endpoint_that_fails_later_stops_the_calls_before_they_begin(
    authority: Authority, recorder: Recorder, tmp_path: Path
) -> None:
    async with running(crm(recorder, exchange(authority, tmp_path))) as world:
        await done(world)
        authority.broken = BROKEN["server error"]
        calls = len(recorder.calls())
        refused = await world.ready_sealed(world.call("crm", "look", {}, user="bob"))
        assert refused is not None
        assert refused.code == "upstream.no_credentials"
        reply = await world.run_sealed(world.call("crm", "look", {}, user="bob"))
        assert reason(reply) == "upstream.no_credentials"
        assert len(recorder.calls()) == calls
        await done(world)  # alice's token is good
        await eventually(lambda: world.status("crm").state is State.UP)


@pytest.mark.parametrize("allowed", [False, True])
async def test_a_token_endpoint_in_the_own_network_must_be_allowed(
    authority: Authority, recorder: Recorder, tmp_path: Path, allowed: bool
) -> None:
    async def inward(host: str, port: int) -> tuple[str, ...]:
        return ("127.0.0.1",)

    url = authority.token_url.replace("127.0.0.1", "login.example")
    told = ClientCredentialsSpec(client(authority, tmp_path, token_url=url))
    async with running(replace(crm(recorder, told), private_addresses=allowed), resolve=inward) as world:
        assert (world.status("crm").state is State.UP) == allowed
    assert bool(authority.asked) == allowed


# -- a token for each caller


async def test_each_caller_has_a_token_of_their_own(authority: Authority, recorder: Recorder, tmp_path: Path) -> None:
    async with running(crm(recorder, exchange(authority, tmp_path))) as world:
        await asyncio.gather(*(done(world, user=user) for user in ("alice", "bob", "alice", "bob")))
    assert sorted(claims["sub"] for _, claims in recorder.calls()) == ["user:alice"] * 2 + ["user:bob"] * 2
    assert [claims["sub"] for method, _, claims in recorder.seen if method == "tools/list"] == [CLIENT]
    assert len(authority.statements) == 2
    assert all(told["tenant"] == "t" and "act" not in told for told in authority.statements)
    assert len({told["jti"] for told in authority.statements}) == 2


async def test_a_handshake_server_gets_a_session_for_each_caller(
    authority: Authority, recorder: Recorder, tmp_path: Path
) -> None:
    """It refuses a call on a session that another user opened, as MCP's security page wants."""
    recorder.handshake = True
    async with running(crm(recorder, exchange(authority, tmp_path))) as world:
        for user in ("alice", "bob", "alice"):
            await done(world, user=user)
    assert [claims["sub"] for _, claims in recorder.calls()] == ["user:alice", "user:bob", "user:alice"]
    assert sorted(set(recorder.sessions.values())) == [CLIENT, "user:alice", "user:bob"]


async def test_a_server_of_the_older_transport_gets_a_session_for_each_caller(
    authority: Authority, recorder: Recorder, tmp_path: Path
) -> None:
    recorder.handshake = True
    spec = replace(crm(recorder, exchange(authority, tmp_path)), url=f"{authority.url}/sse", sse=True)
    async with running(spec) as world:
        for user in ("alice", "bob", "alice"):
            await done(world, user=user)
        authority.living.clear()
        assert reason(await world.run("crm", "look", {"text": "revoked"})) == "upstream.unauthorized"
    assert [claims["sub"] for _, claims in recorder.calls()[:3]] == ["user:alice", "user:bob", "user:alice"]
    assert "revoked" not in recorder.done


async def test_an_api_gets_a_token_for_each_caller_in_the_place_of_any_argument(
    authority: Authority, recorder: Recorder, tmp_path: Path
) -> None:
    refused: list[str] = []
    shown: list[str] = []

    def answer(seen: Any) -> Any:
        told = authority.claims(seen.headers.get("authorization"))
        shown.append("" if told is None else told["sub"])
        return as_json({"refused": bool(refused)}, 401 if refused or told is None else 200)

    file = tmp_path / "api.json"
    paths = {
        "/look": {"get": operation(operationId="look", parameters=[parameter("Authorization", "header", required=False)])}
    }
    file.write_text(json.dumps(document(paths)))
    with serving(answer) as stub:
        spec = OpenApiSpec("crm", str(file), stub.url, limits=QUICK, credentials=exchange(authority, tmp_path))
        async with running(spec) as world:
            for user in ("alice", "bob"):
                assert isinstance(await world.run_sealed(world.call("crm", "look", {}, user=user)), ToolReply)
            refused.append("from now on")
            assert reason(await world.run("crm", "look", {})) == "upstream.unauthorized"
            authority.broken = BROKEN["error"]
            assert reason(await world.run("crm", "look", {})) == "upstream.no_credentials"
    assert shown == ["user:alice", "user:bob", "user:alice"]


async def test_an_exchange_that_gives_another_type_of_token_gives_none(
    authority: Authority, recorder: Recorder, tmp_path: Path
) -> None:
    async with running(crm(recorder, exchange(authority, tmp_path))) as world:
        authority.broken = _json(issued_token_type="urn:ietf:params:oauth:token-type:id_token")
        reply = await world.run("crm", "look", {})
        assert reason(reply) == "upstream.no_credentials"
    assert recorder.calls() == []


async def test_nobody_subscribes_in_a_callers_name(authority: Authority, recorder: Recorder, tmp_path: Path) -> None:
    async with running(crm(recorder, exchange(authority, tmp_path))) as world:
        reply = await world.run("crm", "resources/subscribe", {"uri": "x:y"})
        assert isinstance(reply, NotSent)
        assert "in each caller's name" in reply.reason.message
