"""`requestState` of 2026-07-28: what a client gets with a question, and gives back with its answer.

Sealed (AES-256-GCM) under a key that dies with the process, bound to a document that the use must equal, good once.
"""

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from mcp.shared.exceptions import MCPError

from gateway.core.ports import Clock
from gateway.edge.meta import INVALID_PARAMS

_NONCE_BYTES = 12
_WRONG = "requestState is not one for this call, or was used before. Make the call without it."
_RESTARTED = (
    "The gateway was started anew since it gave out this requestState, and the call did not go on. Make the call without it:"
    " if it may have had its effect, the answer says so."
)


class StateSeal:
    """Seals the states of one kind. Owned by the event loop."""

    def __init__(self, kind: str, clock: Clock) -> None:
        self._kind = kind
        self._clock = clock
        self._boot = os.urandom(8).hex()
        self._key = AESGCM(AESGCM.generate_key(256))
        self._used: dict[str, str] = {}

    def seal(self, bound: dict[str, Any]) -> str:
        """A state that is good for a use that is bound alike."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._key.encrypt(nonce, orjson.dumps(bound), self._sealed_for)
        return f"{self._kind}.{self._boot}.{urlsafe_b64encode(nonce + sealed).decode()}"

    def is_one(self, state: Any) -> bool:
        """Whether the state says that it is of this kind."""
        return isinstance(state, str) and state.startswith(f"{self._kind}.")

    def read(self, state: Any) -> dict[str, Any]:
        """What it is bound to. It is not used up by that. Raises `MCPError` where it is none of ours."""
        bound, _ = self._open(state)
        return bound

    def use(self, state: Any, bound: dict[str, Any], expires_at: str) -> None:
        """Take a state for a use bound like this, once, before it expires. Raises `MCPError`."""
        now = self._clock.now()
        self._used = {used: until for used, until in self._used.items() if until > now}
        was, used = self._open(state)
        if was != bound or used in self._used or now >= expires_at:
            raise MCPError(INVALID_PARAMS, _WRONG)
        self._used[used] = expires_at

    def _open(self, state: Any) -> tuple[dict[str, Any], str]:
        try:
            kind, boot, sealed = state.split(".")
            if kind == self._kind and boot != self._boot:
                raise MCPError(INVALID_PARAMS, _RESTARTED)
            raw = urlsafe_b64decode(sealed)
            if urlsafe_b64encode(raw).decode() != sealed:  # the decoder passes over much: one state has one spelling
                raise ValueError("not as it was given out")
            bound: dict[str, Any] = orjson.loads(self._key.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], self._sealed_for))
        except (InvalidTag, ValueError, TypeError, AttributeError) as error:
            raise MCPError(INVALID_PARAMS, _WRONG) from error
        return bound, raw[:_NONCE_BYTES].hex()

    @property
    def _sealed_for(self) -> bytes:
        return f"sealgate {self._kind} {self._boot}".encode()


def unknown_state() -> MCPError:
    """For a state that no seal of ours made."""
    return MCPError(INVALID_PARAMS, _WRONG)
