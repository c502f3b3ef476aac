"""An authorization server on loopback: a real HTTP server with metadata and a key set, and tokens signed by real keys."""

import json
import ssl
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
OTHER_EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def jwk(key: PrivateKey, kid: str, **more: object) -> dict[str, Any]:
    """The public half as a JWK."""
    public = key.public_key()
    made: dict[str, Any]
    if isinstance(public, rsa.RSAPublicKey):
        made = jwt.algorithms.RSAAlgorithm.to_jwk(public, as_dict=True)
    elif isinstance(public, ec.EllipticCurvePublicKey):
        made = jwt.algorithms.ECAlgorithm.to_jwk(public, as_dict=True)
    else:
        made = jwt.algorithms.OKPAlgorithm.to_jwk(public, as_dict=True)
    made.pop("key_ops", None)
    return {**made, "kid": kid, "use": "sig", **more}


def segment(document: object) -> str:
    """One part of a JWT."""
    return urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


@dataclass
class Issuer:
    """What it answers can be changed while it runs: `documents` by path; None: it hangs up. `asked`: the paths, in order;
    `granted`: what clients asked for a token with."""

    url: str
    keys: list[dict[str, Any]] = field(default_factory=lambda: [jwk(RSA, "rsa"), jwk(EC, "ec"), jwk(ED, "ed")])
    documents: dict[str, tuple[int, bytes] | None] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    granted: list[dict[str, str]] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    def answer(self, path: str) -> tuple[int, bytes] | None:
        self.asked.append(path)
        self.gate.wait(10)
        if path in self.documents:
            return self.documents[path]
        if path == "/.well-known/openid-configuration":
            return 200, json.dumps(self.metadata()).encode()
        if path == "/keys":
            return 200, json.dumps({"keys": self.keys}).encode()
        return 404, b"{}"

    def metadata(self) -> dict[str, Any]:
        """As RFC 8414 wants them."""
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/keys",
            "token_endpoint": f"{self.url}/token",
            "authorization_endpoint": f"{self.url}/authorize",
            "response_types_supported": ["code"],
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        }

    def grant(self, asked: Mapping[str, list[str]]) -> bytes:
        """Client credentials: the answer of the token endpoint to a client that asked for these."""
        self.granted.append({name: values[0] for name, values in asked.items()})
        scope = asked["scope"][0]
        token = self.token(asked["resource"][0], sub="robot", client_id="robot", scope=scope, tid="example")
        return json.dumps({"access_token": token, "token_type": "Bearer", "expires_in": 600, "scope": scope}).encode()

    def claims(self, audience: str, **changed: object) -> dict[str, Any]:
        """Claims of a token that is fine; None leaves one out."""
        now = int(time.time())
        usual: dict[str, Any] = {
            "iss": self.url,
            "aud": audience,
            "sub": "alice",
            "client_id": "helper",
            "iat": now,
            "exp": now + 600,
            "scope": "tools.call",
        }
        return {name: value for name, value in {**usual, **changed}.items() if value is not None}

    def token(
        self,
        audience: str,
        *,
        key: PrivateKey | str | None = RSA,
        kid: str | None = "rsa",
        algorithm: str = "RS256",
        header: Mapping[str, object] = {},
        **changed: object,
    ) -> str:
        """A signed token."""
        headers = {"typ": "at+jwt", **({} if kid is None else {"kid": kid}), **header}
        return jwt.encode(self.claims(audience, **changed), key, algorithm=algorithm, headers=headers)  # type: ignore[arg-type]


@contextmanager
def issuing(tls: ssl.SSLContext | None = None) -> Iterator[Issuer]:
    """A running issuer on a free port, over https where it is given a certificate."""
    found: list[Issuer] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = found[0].answer(self.path)
            if answer is None:
                self.close_connection = True
                return
            status, body = answer
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", body.decode())
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            asked = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            body = found[0].grant(asked)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        scheme = "http" if tls is None else "https"
        found.append(Issuer(f"{scheme}://127.0.0.1:{server.server_address[1]}"))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield found[0]
        finally:
            found[0].gate.set()
            server.shutdown()
            thread.join(5)
