"""OAuth 2.1: whose access tokens let somebody in, as whom, and what is said to all others."""

import http.client
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from mcp import Client
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken

from tests.access.house import House
from tests.access.issuer import EC, ED, OTHER_EC, OTHER_RSA, RSA, jwk, segment
from tests.edge.clients import HandshakeClient, send
from tests.running import NO_AUTHORITIES

CANARY = "canary-of-a-claim"
SOURCE = "127.0.0.30"
NOW = int(time.time())


def unsigned(house: House) -> str:
    claims = house.issuer.claims(house.resource, tid="example", sub=CANARY)
    return f"{segment({'alg': 'none', 'typ': 'at+jwt'})}.{segment(claims)}."


def by_public_key(house: House) -> str:
    """HS256 with the issuer's public key as the secret: who mixes up kinds of keys takes it."""
    pem = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    claims = house.issuer.claims(house.resource, tid="example", sub=CANARY)
    signed = f"{segment({'alg': 'HS256', 'typ': 'at+jwt', 'kid': 'rsa'})}.{segment(claims)}"
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(signed.encode(), pem)
    return f"{signed}.{urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def changed(house: House) -> str:
    head, _, signature = house.token(sub="alice").split(".")
    return f"{head}.{segment(house.issuer.claims(house.resource, tid='example', sub=CANARY))}.{signature}"


def own_key(house: House) -> str:
    """It brings its own key along, inside and by address."""
    header = {"jwk": jwk(OTHER_RSA, "mine"), "jku": "http://127.0.0.1:1/keys", "x5u": "http://127.0.0.1:1/c"}
    return house.token(key=OTHER_RSA, kid="mine", header=header, sub=CANARY)


BAD: dict[str, tuple[str, Callable[[House], str]]] = {
    "another audience": ("audience", lambda house: house.token(audience="https://other.example.com/mcp", sub=CANARY)),
    "no audience": ("missing_claim", lambda house: house.token(audience=None, aud=None, sub=CANARY)),
    "the audience's beginning": ("audience", lambda house: house.token(audience=house.resource[:-1], sub=CANARY)),
    "an unknown issuer": ("issuer", lambda house: house.token(iss="https://evil.example", sub=CANARY)),
    "no issuer": ("issuer", lambda house: house.token(iss=None, sub=CANARY)),
    "the name of another trusted issuer": (
        "signature",
        lambda house: house.token(iss=house.other.url, key=EC, kid="ec", algorithm="ES256", sub=CANARY),
    ),
    "alg none": ("algorithm", unsigned),
    "HS256 with the public key": ("algorithm", by_public_key),
    "an algorithm that this issuer may not use": ("algorithm", lambda house: house.other.token(house.resource, sub=CANARY)),
    "expired": ("expired", lambda house: house.token(exp=NOW - 120, sub=CANARY)),
    "no expiry": ("missing_claim", lambda house: house.token(exp=None, sub=CANARY)),
    "an expiry that is no number": ("invalid", lambda house: house.token(exp=["soon"], sub=CANARY)),
    "an expiry beyond all years": ("invalid", lambda house: house.token(exp=10**300, sub=CANARY)),
    "an expiry that is no number of this world": ("invalid", lambda house: house.token(exp=10**400, sub=CANARY)),
    "an expiry in letters": ("invalid", lambda house: house.token(exp=str(NOW + 600), sub=CANARY)),
    "not yet valid": ("not_yet_valid", lambda house: house.token(nbf=NOW + 300, sub=CANARY)),
    "issued in the future": ("not_yet_valid", lambda house: house.token(iat=NOW + 300, sub=CANARY)),
    "an unknown key": ("unknown_key", lambda house: house.token(kid="unknown", sub=CANARY)),
    "another key under a known id": ("signature", lambda house: house.token(key=OTHER_RSA, sub=CANARY)),
    "its own key": ("unknown_key", own_key),
    "changed claims": ("signature", changed),
    "a key of another kind": ("unknown_key", lambda house: house.token(kid="ec", sub=CANARY)),
    "a critical extension": ("malformed", lambda house: house.token(header={"crit": ["b64"], "b64": True}, sub=CANARY)),
    "another tenant": ("required_claim", lambda house: house.token(tid="other", sub=CANARY)),
    "no tenant": ("required_claim", lambda house: house.token(tid=None, sub=CANARY)),
    "an ID token": ("type", lambda house: house.token(nonce="n", sub=CANARY)),
    "a refresh token": ("type", lambda house: house.token(typ="Refresh", sub=CANARY)),
    "a logout token": ("type", lambda house: house.token(header={"typ": "logout+jwt"}, sub=CANARY)),
    "bound to a key": ("bound_to_a_key", lambda house: house.token(cnf={"jkt": "x"}, sub=CANARY)),
    "no subject": ("missing_claim", lambda house: house.token(sub=None)),
    "a subject that no log can hold": ("name", lambda house: house.token(sub=f"{CANARY}\n;user:root")),
    "an endless chain of actors": ("actor", lambda house: house.token(sub=CANARY, act=nested(20))),
    "an actor of another issuer": (
        "actor",
        lambda house: house.token(sub=CANARY, act={"sub": "a", "iss": "https://x.example"}),
    ),
    "an actor without a name": ("name", lambda house: house.token(sub=CANARY, act={"client": "a"})),
    "oversized": ("oversized", lambda house: house.token(sub=CANARY, padding="x" * 9000)),
    "nested without end": (
        "malformed",
        lambda house: f"{segment({'alg': 'RS256'})}.{urlsafe_b64encode(b'[' * 5000).decode()}.AA",
    ),
    "two dots and nothing": ("malformed", lambda house: ".."),
}


def nested(depth: int) -> dict[str, object]:
    act: dict[str, object] = {"sub": "a0"}
    for level in range(1, depth):
        act = {"sub": f"a{level}", "act": act}
    return act


@pytest.mark.parametrize(("number", "name"), list(enumerate(BAD)), ids=list(BAD))
def test_a_token_that_is_no_good_is_refused_and_nothing_of_it_is_told(house: House, number: int, name: str) -> None:
    why, made = BAD[name]
    token, size, said = made(house), house.box.size(), len(house.gateway.output)
    answer = house.call(token, source=f"127.0.1.{number}")
    assert answer.status == 401
    assert (
        answer.headers["www-authenticate"]
        == f'Bearer error="invalid_token", scope="tools.call", resource_metadata="{house.metadata}"'
    )
    assert answer.json()["error"] == "invalid_token"
    told = answer.body.decode() + str(answer.headers) + house.gateway.output[said:]
    assert f'"why": "{why}", "event": "login_refused"' in told
    for secret in (CANARY, *(part for part in token.split(".") if len(part) > 8)):
        assert secret not in told
    assert house.box.size() == size


@pytest.mark.parametrize(
    ("key", "kid", "algorithm"),
    [(RSA, "rsa", "RS256"), (RSA, "rsa", "PS256"), (EC, "ec", "ES256"), (ED, "ed", "EdDSA")],
)
def test_each_algorithm_of_the_list_lets_a_principal_in_and_the_client_acts_for_them(
    house: House, key: object, kid: str, algorithm: str
) -> None:
    answer = house.call(house.token(key=key, kid=kid, algorithm=algorithm), text="by token")
    assert answer.status == 200
    assert house.chain(answer) == ["user:corp|alice", "agent:helper"]
    assert house.run(answer)["credential"] == f"oauth:{house.issuer.url}"


def test_an_issuer_may_name_nobody_of_another_issuer(house: House) -> None:
    answer = house.call(house.other.token(house.resource, key=OTHER_EC, kid="ec", algorithm="ES256"))
    assert house.chain(answer) == ["user:partner|alice", "agent:helper"]


def test_who_acts_is_told_by_the_actor_claim_with_the_current_one_last(house: House) -> None:
    act = {"sub": "current", "act": {"sub": "before"}}
    assert house.chain(house.call(house.token(act=act))) == ["user:corp|alice", "agent:before", "agent:current"]


def test_a_client_that_acts_for_itself_is_no_actor(house: House) -> None:
    assert house.chain(house.call(house.token(sub="helper", client_id="helper"))) == ["user:corp|helper"]


@pytest.mark.parametrize(
    ("more", "roles"),
    [({"scope": "other tools.call"}, True), ({"scope": None, "scp": ["tools.call"]}, True), ({"typ": "Bearer"}, True)],
)
def test_scopes_are_read_as_issuers_write_them(house: House, more: dict[str, object], roles: bool) -> None:
    assert (house.call(house.token(**more)).status == 200) is roles


@pytest.mark.parametrize("scope", [None, "", "tools.call.more", "Tools.Call", "box.act"])
def test_without_a_scope_that_gives_a_role_the_answer_says_which_would(house: House, scope: str | None) -> None:
    answer = house.call(house.token(scope=scope), source="127.0.0.31")
    challenge = f'Bearer error="insufficient_scope", scope="log.read tools.call", resource_metadata="{house.metadata}"'
    assert (answer.status, answer.headers["www-authenticate"]) == (403, challenge)


def test_a_scope_gives_its_roles_and_no_others(house: House) -> None:
    answer = house.call(house.token(scope="log.read"))
    assert answer.json()["result"]["_meta"]["dev.sealgate/outcome"]["reasons"] == ["subject.not_agent"]
    headers = {"Authorization": f"Bearer {house.token(scope='tools.call')}"}
    with httpx2.Client(verify=NO_AUTHORITIES) as client:
        assert client.get(f"http://127.0.0.1:{house.gateway.port}/log/checkpoint", headers=headers).status_code == 403


def test_a_scope_can_delegate_tools_to_who_acts(house: House) -> None:
    def reasons(scope: str) -> list[str]:
        result = house.call(house.token(scope=scope), "box__act").json()["result"]
        found: list[str] = result["_meta"]["dev.sealgate/outcome"]["reasons"]
        return found

    assert reasons("tools.call") == ["delegation.missing"]
    assert "delegation.missing" not in reasons("tools.call box.act")


def test_without_a_token_the_challenge_says_where_to_get_one(house: House) -> None:
    answer = house.call(None, source=SOURCE)
    assert (answer.status, answer.headers["www-authenticate"]) == (
        401,
        f'Bearer scope="tools.call", resource_metadata="{house.metadata}"',
    )


@pytest.mark.parametrize("path", ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"])
def test_anybody_may_read_who_issues_tokens(house: House, path: str) -> None:
    with httpx2.Client(verify=NO_AUTHORITIES) as client:
        answer = client.get(f"http://127.0.0.1:{house.gateway.port}{path}")
    assert answer.json() == {
        "resource": house.resource,
        "authorization_servers": [house.issuer.url, house.other.url],
        "scopes_supported": ["box.act", "log.read", "tools.call"],
        "bearer_methods_supported": ["header"],
        "resource_name": "Sealgate",
    }


def test_a_token_is_judged_once_and_costs_no_look_at_the_issuer(house: House) -> None:
    token = house.token(sub="often")
    assert house.call(token).status == 200
    asked = len(house.issuer.asked)
    assert [house.call(token).status for _ in range(5)] == [200] * 5
    assert len(house.issuer.asked) == asked


def test_tokens_with_unknown_keys_do_not_make_the_issuer_be_asked_again_and_again(house: House) -> None:
    asked = len(house.issuer.asked)
    tokens = [house.token(kid=f"made-up-{number}") for number in range(20)]
    assert {house.call(token, source="127.0.0.32").status for token in tokens} == {401}
    assert len(house.issuer.asked) - asked <= 2


def test_no_token_and_nothing_of_it_reaches_the_tool_server(house: House) -> None:
    token = house.token(sub="alice")
    _, key = house.make_key("--principal", "service:billing")
    for secret in (token, key, "bob-token"):
        answer = house.call(secret, "web__headers")
        headers = json.loads(answer.json()["result"]["content"][0]["text"])
        assert headers["mcp-name"] == "headers"
        assert "authorization" not in headers
        assert "cookie" not in headers
        for part in secret.split("."):
            assert part.lower() not in json.dumps(headers)


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
def test_a_session_is_its_principals_at_its_issuer_through_its_client(house: House, method: str) -> None:
    list_tools = b'{"jsonrpc":"2.0","id":7,"method":"tools/list"}' if method == "POST" else b""
    with HandshakeClient(house.gateway, token=house.token()) as alice:
        for stranger in (
            house.token(sub="bob"),
            house.token(client_id="another"),
            house.token(act={"sub": "helper"}, client_id="third"),
            house.other.token(house.resource, key=OTHER_EC, kid="ec", algorithm="ES256"),
            "bob-token",
        ):
            stolen: dict[str, str | None] = {
                "Authorization": f"Bearer {stranger}",
                "MCP-Protocol-Version": alice.version,
                "Mcp-Session-Id": alice.session_id,
            }
            assert send(house.gateway, list_tools, stolen, method=method).status == 404
        renewed = {"Authorization": f"Bearer {house.token(jti='renewed')}"}
        answer = alice.post(b'{"jsonrpc":"2.0","id":8,"method":"tools/list"}', renewed)
        assert answer.status_code == 200


def test_two_tokens_are_none(house: House) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", house.gateway.port, timeout=20, source_address=("127.0.0.34", 0))
    try:
        connection.putrequest("POST", "/mcp")
        for token in ("bob-token", house.token()):
            connection.putheader("Authorization", f"Bearer {token}")
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", "0")
        connection.endheaders()
        assert connection.getresponse().status == 400  # before anybody reads either
    finally:
        connection.close()


def test_a_token_in_the_address_is_none(house: House) -> None:
    with httpx2.Client(verify=NO_AUTHORITIES) as client:
        url = f"http://127.0.0.1:{house.gateway.port}/mcp?access_token={house.token()}"
        assert client.post(url, json={}).status_code == 401


class Kept:
    """Where the official client keeps what it got."""

    tokens: OAuthToken | None = None
    client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


@pytest.mark.anyio
async def test_the_official_client_finds_the_issuer_by_itself_and_asks_for_no_more_than_it_needs(house: House) -> None:
    provider = ClientCredentialsOAuthProvider(house.gateway.url, Kept(), "robot", "secret", issuer=house.issuer.url)
    async with (
        httpx2.AsyncClient(auth=provider, timeout=30, verify=NO_AUTHORITIES) as http_client,
        Client(streamable_http_client(house.gateway.url, http_client=http_client)) as client,
    ):
        answer = await client.call_tool("box__echo", {"text": "by myself"})
    receipt = (answer.meta or {})["dev.sealgate/receipt"]
    assert house.box.entry(receipt).predicate["run"]["principal_chain"] == ["user:corp|robot"]
    assert house.issuer.granted == [{"grant_type": "client_credentials", "resource": house.resource, "scope": "tools.call"}]
