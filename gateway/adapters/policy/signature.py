"""Signatures of OPA bundles, in OPA's own form (https://www.openpolicyagent.org/docs/management-bundles#signing).

`.signatures.json` holds one JWT whose payload lists every other file of the bundle with its hash. A hash is over the bytes
of a policy, and over a structured document (`data.json`, `.manifest`) with its keys in order and no white space.

The algorithm follows from the key that the operator named, never from the JWT. OPA knows no EdDSA, so neither do we.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jiter
import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from jwt import InvalidTokenError, PyJWS

from gateway.core.errors import ConfigError

SIGNATURES = ".signatures.json"
MANIFEST = ".manifest"
DATA_FILE = "data.json"
KEY_ID = "default"  # the name that OPA gives to the key of --verification-key
MIN_RSA_BITS = 2048
MAX_KEY_BYTES = 64 * 1024
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_HASHES = {
    "SHA-256": hashlib.sha256,
    "SHA-384": hashlib.sha384,
    "SHA-512": hashlib.sha512,
}
_NEW_KEY = "openssl ecparam -name prime256v1 -genkey -noout"


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """Who may sign bundles, and with which JWS algorithm."""

    key: EllipticCurvePublicKey | RSAPublicKey
    algorithm: str


def load_verification_key(path: Path) -> VerificationKey:
    """The public key in a PEM file. Raises `ConfigError`."""
    try:
        key = load_pem_public_key(_pem(path))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{path}: is no public key in PEM form", hint="openssl pkey -in KEY -pubout makes it.") from error
    if not isinstance(key, EllipticCurvePublicKey | RSAPublicKey):
        raise _wrong_kind(path)
    return VerificationKey(key, _algorithm(key, path))


def sign_files(files: Mapping[str, bytes], key_path: Path) -> bytes:
    """The `.signatures.json` for `files`, signed with the private key in a PEM file. Raises `ConfigError`."""
    try:
        key = load_pem_private_key(_pem(key_path), None)
    except TypeError as error:
        raise ConfigError(
            f"{key_path}: is protected by a passphrase", hint="OPA's tools take plain PEM keys only."
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{key_path}: is no private key in PEM form", hint=f"{_NEW_KEY} makes one.") from error
    if not isinstance(key, EllipticCurvePrivateKey | RSAPrivateKey):
        raise _wrong_kind(key_path)
    listed = [
        {"name": name, "hash": _hash(name, content, "SHA-256"), "algorithm": "SHA-256"} for name, content in files.items()
    ]
    algorithm = _algorithm(key.public_key(), key_path)
    token = PyJWS().encode(orjson.dumps({"files": listed}), key, algorithm, headers={"kid": KEY_ID, "typ": "JWT"})
    return orjson.dumps({"signatures": [token]})


def check_signature(files: Mapping[str, bytes], key: VerificationKey, path: Path) -> None:
    """Every one of `files` is signed by `key`, unchanged, and none is missing. Raises `ConfigError`."""
    if SIGNATURES not in files:
        raise ConfigError(f"{path}: is not signed", hint="Sign it: sealgate policy build --key, or opa build --signing-key.")
    try:
        payload = PyJWS().decode(_token(files[SIGNATURES]), key.key, algorithms=[key.algorithm])
        told = _strict(payload)
        if told.get("scope"):
            raise ValueError("it was signed for another scope")
        signed = {item["name"]: (item["hash"], item["algorithm"]) for item in told["files"]}
        if len(signed) != len(told["files"]):
            raise ValueError("it lists a file twice")
    except InvalidTokenError as error:
        raise _refused(path, f"the signature does not hold under policy.verification_key: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _refused(path, f"the signature is not of OPA's form: {error}") from error
    added, missing = files.keys() - signed.keys() - {SIGNATURES}, signed.keys() - files.keys() | signed.keys() & {SIGNATURES}
    if added:
        raise _refused(path, f"{min(added)} was added: the signature does not list it")
    if missing:
        raise _refused(path, f"{min(missing)} is missing: the signature lists it")
    for name in sorted(signed, key=_structured):  # what must be parsed to be hashed comes last
        content = files[name]
        digest, algorithm = signed[name]
        if algorithm not in _HASHES:
            raise _refused(path, f"the signature hashes {name} with an algorithm that is not accepted")
        try:
            found = _hash(name, content, algorithm)
        except (ValueError, RecursionError) as error:
            raise _refused(path, f"{name} is no acceptable JSON: {error}") from error
        if found != digest:
            raise _refused(path, f"{name} is not what was signed")


def _token(document: bytes) -> str:
    told = _strict(document)
    tokens = told["signatures"]
    if told.get("plugin", "") not in ("", "_default"):
        raise ValueError("it wants a signature plugin")
    if not isinstance(tokens, list) or len(tokens) != 1 or not isinstance(tokens[0], str):
        raise ValueError("there must be one JWT")
    return tokens[0]


def _strict(text: bytes) -> dict[str, Any]:
    document = jiter.from_json(text, catch_duplicate_keys=True, allow_inf_nan=False)
    if not isinstance(document, dict):
        raise ValueError("it is no JSON object")
    return document


def _hash(name: str, content: bytes, algorithm: str) -> str:
    return _HASHES[algorithm](_walked(content) if _structured(name) else content).hexdigest()


def _structured(name: str) -> bool:
    return name.rpartition("/")[2] in (DATA_FILE, MANIFEST)


class _Number(str):
    """A number as it was written: OPA hashes it so."""

    __slots__ = ()


def _walked(text: bytes) -> bytes:
    """A JSON document as OPA hashes it: what Go writes for it, with sorted keys."""
    document = json.loads(text, parse_int=_Number, parse_float=_Number, parse_constant=_refuse, object_pairs_hook=_object)
    return _written(document).encode()


def _written(value: Any) -> str:
    match value:
        case dict():
            return "{" + ",".join(f"{_quoted(key)}:{_written(value[key])}" for key in sorted(value)) + "}"
        case list():
            return "[" + ",".join(map(_written, value)) + "]"
        case _Number():
            return str(value)
        case str():
            return _quoted(value)
        case _:
            return json.dumps(value)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key is there twice")
    return document


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _algorithm(key: EllipticCurvePublicKey | RSAPublicKey, path: Path) -> str:
    if isinstance(key, RSAPublicKey):
        if key.key_size < MIN_RSA_BITS:
            raise ConfigError(f"{path}: an RSA key of {key.key_size} bits is too weak", hint=f"{_NEW_KEY} makes a good one.")
        return "RS256"
    if key.curve.name not in _CURVES:
        raise _wrong_kind(path)
    return _CURVES[key.curve.name]


def _wrong_kind(path: Path) -> ConfigError:
    return ConfigError(f"{path}: bundles are signed with ECDSA (P-256, P-384, P-521) or RSA", hint=f"{_NEW_KEY} makes one.")


def _refused(path: Path, why: str) -> ConfigError:
    return ConfigError(f"{path}: {why}", hint="Do not use it; ask who made it for another.", code="policy.bundle_refused")


def _pem(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_KEY_BYTES)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}", hint="Name a PEM file.") from error
