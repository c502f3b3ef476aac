"""The issuers' keys: how they are had, how long they count, and what happens where they cannot be had."""

import asyncio
import json
import math
import ssl
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.issuer_keys import (
    FAILED_PAUSE_SECONDS,
    MAX_AGE_SECONDS,
    REFRESH_SECONDS,
    UNKNOWN_PAUSE_SECONDS,
    IssuerKeys,
    KeysUnavailable,
    _usable,
    issuer_session,
    metadata_addresses,
)
from gateway.edge.auth import Caller, CannotTell, NotEnough, NotValid
from gateway.edge.oauth import IssuerRules, OAuth
from tests.access.issuer import EC, OTHER_RSA, RSA, Issuer, issuing, jwk, segment

AUDIENCE = "https://gateway.example.com/mcp"
METADATA = "/.well-known/openid-configuration"


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class World:
    """One issuer, its keys as the gateway has them, and who is let in."""

    def __init__(self, issuer: Issuer, keys: IssuerKeys, clock: Clock) -> None:
        self.issuer, self.keys, self.clock = issuer, keys, clock
        rules = IssuerRules(
            issuer.url, AUDIENCE, "example", keys, frozenset({"RS256", "ES256"}), {"tools.call": frozenset({"agent"})}, {}
        )
        self.oauth = OAuth((rules,))

    async def admitted(self, **changed: Any) -> object:
        """Whom a token lets in, or why it does not."""
        return await self.oauth.authenticate(self.issuer.token(AUDIENCE, **changed))

    def fetched(self) -> int:
        """How often the key set was asked for."""
        return self.issuer.asked.count("/keys")


def lived(life: Callable[[World], Coroutine[Any, Any, None]], *, jwks_path: str | None = "/keys") -> None:
    """Run a test in a world of its own."""

    async def run() -> None:
        with issuing() as issuer:
            clock = Clock()
            async with issuer_session() as session:
                keys = IssuerKeys(issuer.url, None if jwks_path is None else issuer.url + jwks_path, session, clock)
                try:
                    await life(World(issuer, keys, clock))
                finally:
                    await keys.close()

    asyncio.run(run())


async def asked(world: World, path: str = "/keys", *, more_than: int = 0) -> None:
    """Wait until the issuer was asked again."""
    for _ in range(500):
        if world.issuer.asked.count(path) > more_than:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{path} was not asked for")


def test_the_keys_are_found_by_the_issuers_own_metadata() -> None:
    async def life(world: World) -> None:
        assert isinstance(await world.admitted(), Caller)
        assert world.issuer.asked == ["/.well-known/oauth-authorization-server", METADATA, "/keys"]

    lived(life, jwks_path=None)


def test_metadata_lie_where_the_standards_say() -> None:
    assert metadata_addresses("https://a.example/t/1") == (
        "https://a.example/.well-known/oauth-authorization-server/t/1",
        "https://a.example/.well-known/openid-configuration/t/1",
        "https://a.example/t/1/.well-known/openid-configuration",
    )


@pytest.mark.parametrize(
    "told",
    [
        {"issuer": "https://evil.example", "jwks_uri": "own"},
        {"jwks_uri": "own"},
        {"issuer": "same", "jwks_uri": "http://keys.example/keys"},
        {"issuer": "same", "jwks_uri": "file:///etc/passwd"},
        {"issuer": "same"},
        [],
    ],
)
def test_metadata_of_another_issuer_or_with_an_unsafe_address_count_for_nothing(told: Any) -> None:
    async def life(world: World) -> None:
        own = {"same": world.issuer.url, "own": f"{world.issuer.url}/keys"}
        named = {name: own.get(value, value) for name, value in told.items()} if isinstance(told, dict) else told
        world.issuer.documents[METADATA] = (200, json.dumps(named).encode())
        assert await world.admitted() == CannotTell(math.ceil(FAILED_PAUSE_SECONDS))
        assert world.fetched() == 0

    lived(life, jwks_path=None)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        (500, b""),
        (302, b"/elsewhere"),
        (200, b"no json"),
        (200, b'{"keys": {}}'),
        (200, b'{"keys": []}'),
        (200, b" " * (1 << 20)),
        (200, b'{"keys": [{"kty": "RSA", "n": ' + b"[" * 400 + b"]" * 400 + b"}]}"),
    ],
    ids=["hangs up", "error", "redirect", "no JSON", "no set", "empty set", "flood", "deep"],
)
def test_where_the_keys_cannot_be_had_nobody_is_let_in_and_nobody_refused_for_good(answer: tuple[int, bytes] | None) -> None:
    async def life(world: World) -> None:
        world.issuer.documents["/keys"] = answer
        assert await world.admitted() == CannotTell(math.ceil(FAILED_PAUSE_SECONDS))
        fetched = world.fetched()
        assert isinstance(await world.admitted(sub="bob"), CannotTell)
        assert world.fetched() == fetched, "it is not tried again at once"
        assert "/elsewhere" not in world.issuer.asked
        del world.issuer.documents["/keys"]
        world.clock.now += FAILED_PAUSE_SECONDS
        assert isinstance(await world.admitted(), Caller)

    lived(life)


def test_many_that_wait_share_one_fetch_and_one_that_goes_away_does_not_end_it() -> None:
    async def life(world: World) -> None:
        world.issuer.gate.clear()
        waiting = [asyncio.create_task(world.admitted(sub=f"s{number}")) for number in range(20)]
        await asked(world)
        waiting[0].cancel()
        world.issuer.gate.set()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(one) for one in found] == [asyncio.CancelledError] + [Caller] * 19
        assert world.fetched() == 1

    lived(life)


def test_a_new_key_is_taken_up_when_a_token_names_it() -> None:
    async def life(world: World) -> None:
        assert isinstance(await world.admitted(), Caller)
        world.issuer.keys.append(jwk(OTHER_RSA, "next"))
        assert await world.admitted(key=OTHER_RSA, kid="next") == NotValid("unknown_key")
        world.clock.now += UNKNOWN_PAUSE_SECONDS + 1
        assert isinstance(await world.admitted(key=OTHER_RSA, kid="next"), Caller)
        assert world.fetched() == 2

    lived(life)


def test_a_token_that_was_remembered_counts_no_more_when_its_key_is_gone() -> None:
    async def life(world: World) -> None:
        token = world.issuer.token(AUDIENCE)
        assert isinstance(await world.oauth.authenticate(token), Caller)
        world.issuer.keys[:] = [jwk(EC, "ec")]
        world.clock.now += REFRESH_SECONDS + 1
        assert isinstance(await world.oauth.authenticate(token), Caller)  # the look at the issuer has begun
        await asked(world, more_than=1)
        for _ in range(500):
            found = await world.oauth.authenticate(token)
            if isinstance(found, NotValid):
                break
            await asyncio.sleep(0.01)
        assert found == NotValid("unknown_key")

    lived(life)


def test_a_remembered_token_lives_on_where_its_key_was_fetched_again() -> None:
    async def life(world: World) -> None:
        token = world.issuer.token(AUDIENCE)
        first = await world.oauth.authenticate(token)
        world.clock.now += REFRESH_SECONDS + 1
        await world.oauth.authenticate(token)
        await asked(world, more_than=1)
        assert await world.oauth.authenticate(token) is first

    lived(life)


def test_keys_that_could_not_be_looked_at_again_count_no_more_after_an_hour() -> None:
    async def life(world: World) -> None:
        token = world.issuer.token(AUDIENCE)
        assert isinstance(await world.oauth.authenticate(token), Caller)
        world.issuer.documents["/keys"] = (500, b"")
        world.clock.now += MAX_AGE_SECONDS - 1
        assert isinstance(await world.oauth.authenticate(token), Caller)
        world.clock.now += 2 + FAILED_PAUSE_SECONDS
        assert isinstance(await world.oauth.authenticate(token), CannotTell)

    lived(life)


def test_a_remembered_token_ends_with_its_time() -> None:
    async def life(world: World) -> None:
        rules = replace(next(iter(world.oauth._issuers.values())), leeway_seconds=0)
        oauth = OAuth((rules,))
        token = world.issuer.token(AUDIENCE, exp=int(time.time()) + 2)
        assert isinstance(await oauth.authenticate(token), Caller)
        for _ in range(500):
            found = await oauth.authenticate(token)
            if not isinstance(found, Caller):
                break
            await asyncio.sleep(0.01)
        assert found == NotValid("expired")

    lived(life)


def test_what_is_remembered_is_bounded_and_the_rest_is_judged_again() -> None:
    async def life(world: World) -> None:
        oauth = OAuth(tuple(world.oauth._issuers.values()), most=8)
        tokens = [world.issuer.token(AUDIENCE, sub=f"s{number}") for number in range(20)]
        for token in (*tokens, *tokens):
            assert isinstance(await oauth.authenticate(token), Caller)
        assert len(oauth._remembered) == 8

    lived(life)


@pytest.mark.parametrize(
    "changed",
    [{"use": "enc"}, {"key_ops": ["encrypt"]}, {"alg": "RS512"}, {"kty": "oct"}, {"d": "AQAB"}, {"kid": 7}],
    ids=str,
)
def test_a_key_that_is_not_for_this_verifies_nothing(changed: dict[str, Any]) -> None:
    async def life(world: World) -> None:
        world.issuer.keys[:] = [{**jwk(RSA, "rsa"), **changed}, jwk(EC, "ec")]
        assert await world.admitted() == NotValid("unknown_key")

    lived(life)


def test_two_keys_under_one_id_are_no_key() -> None:
    async def life(world: World) -> None:
        world.issuer.keys[:] = [jwk(RSA, "rsa"), jwk(OTHER_RSA, "rsa")]
        assert await world.admitted() == NotValid("unknown_key")

    lived(life)


def test_without_an_id_the_only_key_that_fits_is_taken() -> None:
    async def life(world: World) -> None:
        assert isinstance(await world.admitted(kid=None), Caller)
        world.issuer.keys.append(jwk(OTHER_RSA, "more"))
        world.clock.now += MAX_AGE_SECONDS + 1
        assert await world.admitted(kid=None) == NotValid("unknown_key")

    lived(life)


def test_a_server_that_cannot_show_whose_it_is_is_no_issuer(tmp_path: Path) -> None:
    """Its certificate is signed by itself: anybody on the way could make one."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(EC.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(EC, SHA256())
    )
    pem = tmp_path / "issuer.pem"
    key = EC.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(key + certificate.public_bytes(Encoding.PEM))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)

    async def asked_over_tls() -> None:
        with issuing(tls) as issuer:
            async with issuer_session() as session:
                keys = IssuerKeys(issuer.url, None, session)
                with pytest.raises(KeysUnavailable, match="certificate"):
                    await keys.key("rsa", "RS256")
            assert issuer.asked == []

    asyncio.run(asked_over_tls())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**400), 10**400) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)
CLAIMS = ("exp", "nbf", "iat", "aud", "sub", "scope", "scp", "client_id", "azp", "act", "cnf", "typ", "jti", "nonce")


@given(
    st.dictionaries(st.sampled_from(CLAIMS), JSON, max_size=3),
    st.dictionaries(st.sampled_from(("typ", "kid", "crit")), JSON),
)
def test_whatever_an_issuer_signs_is_judged_without_stumbling(claims: dict[str, Any], header: dict[str, Any]) -> None:
    told = asyncio.run(_judged({**STILL.claims(AUDIENCE), **claims}, {"alg": "ES256", "kid": "ec", **header}))
    assert isinstance(told, Caller | NotValid | NotEnough)


@given(
    st.dictionaries(st.sampled_from(("n", "e", "x", "y", "crv", "kty", "alg", "use", "key_ops", "kid")), JSON, min_size=1)
)
def test_whatever_stands_in_a_key_set_is_taken_without_stumbling(changed: dict[str, Any]) -> None:
    told = asyncio.run(_judged(STILL.claims(AUDIENCE), {"alg": "ES256", "kid": "ec"}, {**jwk(EC, "ec"), **changed}))
    assert isinstance(told, Caller | NotValid)


STILL = Issuer("https://still.example")
"""An issuer that nobody asks: its keys are there."""


async def _judged(claims: dict[str, Any], header: dict[str, Any], key: dict[str, Any] | None = None) -> object:
    async with issuer_session() as session:
        keys = IssuerKeys(STILL.url, "https://still.example/keys", session, lambda: 1000.0)
        keys._keys, keys._fetched, keys._tried = _usable({"keys": [key or jwk(EC, "ec")]}), 1000.0, 1000.0
        rules = IssuerRules(
            STILL.url, AUDIENCE, "example", keys, frozenset({"ES256"}), {"tools.call": frozenset({"agent"})}, {}
        )
        signed = f"{segment(header)}.{segment(claims)}"
        signature = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256).sign(signed.encode(), EC)
        token = f"{signed}.{urlsafe_b64encode(signature).rstrip(b'=').decode()}"
        return await OAuth((rules,)).authenticate(token)


def test_a_small_rsa_key_signs_nothing() -> None:
    async def life(world: World) -> None:
        small = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - that is the point
        world.issuer.keys[:] = [jwk(small, "rsa")]
        with pytest.warns(Warning, match="key is 1024 bits"):
            token = world.issuer.token(AUDIENCE, key=small)
        assert await world.oauth.authenticate(token) == NotValid("unusable_key")

    lived(life)


def test_what_failed_is_told_to_the_operator_with_the_issuer() -> None:
    async def life(world: World) -> None:
        world.issuer.documents["/keys"] = (503, b"")
        with pytest.raises(KeysUnavailable, match=f"no keys from {world.issuer.url}: .*answers 503"):
            await world.keys.key("rsa", "RS256")

    lived(life)
