"""Access tokens of OAuth 2.1 issuers: JWTs (RFC 7519, RFC 9068) that are checked here and nowhere else.

What is checked, in this order:

1. size, form, `typ`, `alg` (of the issuer's allow-list, asymmetric ones only), no `crit`
2. `iss` names a configured issuer; its key with the token's `kid` fits the algorithm, RSA keys have 2048 to 8192 bits
3. signature, `iss`, `aud`, `exp`, `nbf`, `iat`, by PyJWT; `exp`, `iss`, `aud` and `sub` must be there
4. it is no ID, refresh or logout token, and is bound to no key that it would have to be shown with (`cnf`)
5. the claims that the operator wants, such as the tenant
6. `sub`, and who acts (`act`, else the client), have names that the log can hold
7. a scope that gives a role; without one: `NotEnough`

A token that was good is remembered by its SHA-256 until it expires, as long as the issuer still has its key. So a call costs
no signature check. Nobody is asked whether a token was revoked: that is what short lifetimes are for.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from gateway.adapters.issuer_keys import IssuerKey, IssuerKeys, KeysUnavailable
from gateway.core.limits import UNLIMITED, CallLimits
from gateway.core.run_context import Delegation, Principal, principal_named
from gateway.core.visible import Exposure, Globs
from gateway.edge.auth import Caller, CannotTell, NotEnough, NotValid, Refusal

MAX_TOKEN_CHARS = 8192
MAX_REMEMBERED = 4096
MAX_ACTORS = 8
MIN_RSA_BITS, MAX_RSA_BITS = 2048, 8192
_LAST_SECOND = 253_402_300_799  # of the year 9999
_TYPES = frozenset({"at+jwt", "jwt"})
_OTHER_TOKENS = frozenset({"nonce", "at_hash", "c_hash", "s_hash", "events"})
"""Claims of ID tokens (OpenID Connect Core 2, 3.3.2.11) and of logout and security event tokens (RFC 8417)."""


@dataclass(frozen=True, slots=True)
class IssuerRules:
    """What one issuer's tokens mean here.

    `roles` by scope; `delegations`: what a scope lets the actors do in the principal's name. A principal and an actor are
    called by their prefix and the name that the token has. `tools`, `exposure`: see `Caller`.
    """

    issuer: str
    audience: str
    tenant_id: str
    keys: IssuerKeys
    algorithms: frozenset[str]
    roles: Mapping[str, frozenset[str]]
    delegations: Mapping[str, tuple[str, ...]]
    principal_prefix: str = "user:"
    actor_prefix: str = "agent:"
    required_claims: Mapping[str, str] = field(default_factory=dict)
    limits: CallLimits = UNLIMITED
    leeway_seconds: float = 30.0
    tools: Globs = None
    exposure: Exposure | None = None


class _Bad(Exception):
    """The token is not valid; the text is the word for the log."""


@dataclass(frozen=True, slots=True)
class _Remembered:
    caller: Caller
    until: float
    key: IssuerKey
    keys: IssuerKeys


class OAuth:
    """Judges access tokens. Owned by the event loop; it remembers `most` of them."""

    def __init__(
        self, issuers: tuple[IssuerRules, ...], wall: Callable[[], float] = time.time, most: int = MAX_REMEMBERED
    ) -> None:
        self._issuers = {rules.issuer: rules for rules in issuers}
        self._wall = wall
        self._most = most
        self._remembered: OrderedDict[bytes, _Remembered] = OrderedDict()

    async def authenticate(self, token: str) -> Caller | Refusal:
        """Whose token it is."""
        if len(token) > MAX_TOKEN_CHARS:
            return NotValid("oversized")
        name = hashlib.sha256(token.encode()).digest()
        known = self._remembered.get(name)
        if known is not None:
            if self._wall() < known.until and known.keys.holds(known.key):
                self._remembered.move_to_end(name)
                return known.caller
            del self._remembered[name]  # and then it is judged anew
        try:
            return await self._judged(token, name)
        except _Bad as bad:
            return NotValid(str(bad))

    async def _judged(self, token: str, name: bytes) -> Caller | Refusal:
        kid, algorithm, issuer = _unverified(token)
        rules = self._issuers.get(issuer)
        if rules is None:
            raise _Bad("issuer")
        if algorithm not in rules.algorithms:
            raise _Bad("algorithm")
        try:
            key = await rules.keys.key(kid, algorithm)
        except KeysUnavailable as error:
            return CannotTell(error.retry_after)
        if key is None:
            raise _Bad("unknown_key")
        claims = _verified(token, rules, key.document, algorithm)
        caller = _caller(claims, rules)
        if isinstance(caller, Caller) and caller.valid_until is not None:
            self._remembered[name] = _Remembered(caller, caller.valid_until, key, rules.keys)
            if len(self._remembered) > self._most:
                self._remembered.popitem(last=False)
        return caller


def _unverified(token: str) -> tuple[str | None, str, str]:
    """Key id, algorithm and issuer that the token claims: they say which key to try, and nothing else."""
    try:
        whole = jwt.decode_complete(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise _Bad("malformed") from error
    header, claims = whole["header"], whole["payload"]
    kid, algorithm, issuer = header.get("kid"), header.get("alg"), claims.get("iss")
    if not isinstance(kid, str | None) or not isinstance(algorithm, str) or "crit" in header:
        raise _Bad("header")
    kind = header.get("typ", "jwt")
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in _TYPES:
        raise _Bad("type")
    if not isinstance(issuer, str):
        raise _Bad("issuer")
    return kid, algorithm, issuer


def _verified(token: str, rules: IssuerRules, document: dict[str, Any], algorithm: str) -> dict[str, Any]:
    """The claims, once signature, issuer, audience and times are right."""
    try:
        key = jwt.PyJWK.from_dict(document, algorithm)
    except Exception as error:  # of the issuer, whatever it was
        raise _Bad("unusable_key") from error
    if isinstance(key.key, RSAPublicKey) and not MIN_RSA_BITS <= key.key.key_size <= MAX_RSA_BITS:
        raise _Bad("unusable_key")
    try:
        return jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=rules.audience,
            issuer=rules.issuer,
            leeway=rules.leeway_seconds,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )
    except jwt.ExpiredSignatureError as error:
        raise _Bad("expired") from error
    except jwt.ImmatureSignatureError as error:
        raise _Bad("not_yet_valid") from error
    except jwt.InvalidAudienceError as error:
        raise _Bad("audience") from error
    except jwt.InvalidSignatureError as error:
        raise _Bad("signature") from error
    except jwt.MissingRequiredClaimError as error:
        raise _Bad("missing_claim") from error
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise _Bad("invalid") from error


def _caller(claims: dict[str, Any], rules: IssuerRules) -> Caller | NotEnough:
    if _OTHER_TOKENS & claims.keys() or claims.get("typ", "Bearer") != "Bearer":  # the claim is Keycloak's
        raise _Bad("type")
    if "cnf" in claims:
        raise _Bad("bound_to_a_key")
    for name, wanted in rules.required_claims.items():
        found = claims.get(name)
        if found != wanted and not (isinstance(found, list) and wanted in found):
            raise _Bad("required_claim")
    expires = claims["exp"]
    if type(expires) not in (int, float) or not 0 < expires < _LAST_SECOND:  # PyJWT takes texts of digits, too
        raise _Bad("invalid")
    principal = _named(rules.principal_prefix, claims["sub"])
    actors, client = _actors(claims, rules)
    scopes = _scopes(claims)
    roles = frozenset[str]().union(*(rules.roles.get(scope, frozenset()) for scope in scopes))
    if not roles:
        return NotEnough(tuple(sorted(rules.roles)))
    tools = tuple(dict.fromkeys(tool for scope in sorted(scopes) for tool in rules.delegations.get(scope, ())))
    until = f"{datetime.fromtimestamp(expires, UTC):%Y-%m-%dT%H:%M:%S}.000Z"
    return Caller(
        tenant_id=rules.tenant_id,
        principal=principal,
        actors=actors,
        roles=roles,
        delegation=Delegation(principal.id, tools, until) if tools else None,
        limits=rules.limits,
        credential=f"oauth:{rules.issuer}",
        issuer=rules.issuer,
        client=client,
        valid_until=float(expires) + rules.leeway_seconds,
        tools=rules.tools,
        exposure=rules.exposure,
    )


def _actors(claims: dict[str, Any], rules: IssuerRules) -> tuple[tuple[Principal, ...], str]:
    """Who acts, the one that calls last (RFC 8693 section 4.1: `act` has the current one outermost), and the client."""
    client = claims.get("client_id", claims.get("azp", ""))
    if not isinstance(client, str):
        raise _Bad("actor")
    chain: list[Principal] = []
    act = claims.get("act")
    while act is not None:
        if not isinstance(act, dict) or act.get("iss", rules.issuer) != rules.issuer or len(chain) == MAX_ACTORS:
            raise _Bad("actor")
        chain.append(_named(rules.actor_prefix, act.get("sub")))
        act = act.get("act")
    if not chain and client and client != claims["sub"]:
        chain.append(_named(rules.actor_prefix, client))
    return tuple(reversed(chain)), client


def _named(prefix: str, name: object) -> Principal:
    try:
        if not isinstance(name, str) or not name:
            raise ValueError("no name")
        return principal_named(prefix + name)
    except ValueError as error:
        raise _Bad("name") from error


def _scopes(claims: dict[str, Any]) -> frozenset[str]:
    """`scope` (RFC 8693 section 4.2), or `scp` as some issuers call it: a text with spaces, or a list."""
    found = claims.get("scope", claims.get("scp", ""))
    if isinstance(found, str):
        return frozenset(found.split(" ")) - {""}
    if isinstance(found, list):
        return frozenset(scope for scope in found if isinstance(scope, str))
    return frozenset()
