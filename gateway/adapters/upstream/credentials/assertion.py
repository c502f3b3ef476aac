"""JWTs that the gateway signs: who it is (RFC 7523), and in whose name it asks (the subject token of RFC 8693).

The key says the algorithm: Ed25519 EdDSA, P-256 ES256, RSA of 2048 bits or more RS256. `kid` is its RFC 7638 thumbprint.
Each statement holds for a minute and has an id of its own, so that it can be taken once.
"""

import hashlib
import time
import uuid
from base64 import urlsafe_b64encode
from typing import Any

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from gateway.adapters.upstream.credentials.credentials import NoCredentials, Party
from gateway.adapters.upstream.credentials.secret import Secret

LIFE_SECONDS = 60
MIN_RSA_BITS = 2048
_THUMBPRINT = ("crv", "e", "kty", "n", "x", "y")
"""The members of a public JWK that its thumbprint covers, of all kinds of keys."""


class Signer:
    """The key in `secret`, read again where that changed."""

    def __init__(self, secret: Secret) -> None:
        self._secret = secret
        self._pem: str | None = None
        self._key: Ed25519PrivateKey | EllipticCurvePrivateKey | RSAPrivateKey | None = None
        self._algorithm = self._kid = ""

    @property
    def number(self) -> int:
        """See `Secret.number`."""
        return self._secret.number

    async def check(self) -> None:
        """Whether there is a usable key. Raises `NoCredentials`."""
        pem = await self._secret.value()
        if pem != self._pem:
            self._load(pem)

    async def signed(self, claims: dict[str, Any]) -> str:
        """The claims with their times and an id, signed. Raises `NoCredentials`."""
        await self.check()
        now = int(time.time())
        timed = {**claims, "iat": now, "exp": now + LIFE_SECONDS, "jti": str(uuid.uuid4())}
        return jwt.encode(timed, self._key, algorithm=self._algorithm, headers={"kid": self._kid})  # type: ignore[arg-type]

    def _load(self, pem: str) -> None:
        try:
            key = load_pem_private_key(pem.encode(), None)
        except (ValueError, TypeError):
            raise NoCredentials("the signing key is no PEM private key without a passphrase") from None
        match key:
            case Ed25519PrivateKey():
                algorithm, public = "EdDSA", OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
            case EllipticCurvePrivateKey() if isinstance(key.curve, SECP256R1):
                algorithm, public = "ES256", ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
            case RSAPrivateKey() if key.key_size >= MIN_RSA_BITS:
                algorithm, public = "RS256", RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
            case _:
                raise NoCredentials("the signing key is none of Ed25519, P-256, RSA of 2048 bits or more")
        told = orjson.dumps({name: public[name] for name in _THUMBPRINT if name in public}, option=orjson.OPT_SORT_KEYS)
        self._kid = urlsafe_b64encode(hashlib.sha256(told).digest()).rstrip(b"=").decode()
        self._pem, self._key, self._algorithm = pem, key, algorithm


def client_claims(client_id: str, token_url: str) -> dict[str, Any]:
    """That we are this client (RFC 7523 section 3)."""
    return {"iss": client_id, "sub": client_id, "aud": token_url}


def subject_claims(issuer: str, audience: str, party: Party) -> dict[str, Any]:
    """That a call is made in the name of `party`: `sub` is the principal; `act` the current actor, in it the one before."""
    principal, *actors = party.chain
    claims: dict[str, Any] = {"iss": issuer, "aud": audience, "sub": principal, "tenant": party.tenant_id}
    act: dict[str, Any] | None = None
    for actor in actors:
        act = {"sub": actor} if act is None else {"sub": actor, "act": act}
    return claims if act is None else {**claims, "act": act}
