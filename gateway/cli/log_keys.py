"""Public keys that a checkpoint is held against: a trust bundle, a C2SP policy, or C2SP verifier keys, one a line."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.adapters.keys import load_trusted_keys
from gateway.core.checkpoint import Checkpoint, open_checkpoint, read_checkpoint
from gateway.core.dsse import NotVerified
from gateway.core.errors import KeyFault
from gateway.core.log_policy import parse_log_policy
from gateway.core.trust import TrustedKeys
from gateway.core.verifier_key import SignatureType, VerifierKey, parse_verifier_key

_POLICY_WORDS = {"log", "witness", "group", "quorum"}
_MAX_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class CheckpointKeys:
    """`open_note` opens a signed note or raises `NotVerified`. `bundle`: where there is one, entries can be checked too."""

    open_note: Callable[[str], Checkpoint]
    bundle: TrustedKeys | None = None


def load_checkpoint_keys(path: Path) -> CheckpointKeys:
    """Keys from any of the three kinds of file. Raises `KeyFault`."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise KeyFault(f"{path} holds no keys: it has more than {_MAX_BYTES} bytes")
        text = data.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFault(f"cannot read the keys in {path}: {error}") from error
    if text.lstrip().startswith("{"):
        return bundle_keys(load_trusted_keys(path))
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    try:
        if any(line.split()[0] in _POLICY_WORDS for line in lines):
            policy = parse_log_policy(data)
            return CheckpointKeys(lambda note: policy.open(note).checkpoint)
        return _verifier_keys([parse_verifier_key(line) for line in lines])
    except ValueError as error:
        raise KeyFault(
            f"{path}: {error}", hint="Give public.json, a C2SP policy, or C2SP verifier keys, one a line."
        ) from error


def bundle_keys(bundle: TrustedKeys) -> CheckpointKeys:
    """The log keys of a trust bundle, each where it counts."""

    def open_note(note: str) -> Checkpoint:
        size = read_checkpoint(note).checkpoint.size
        try:
            return open_checkpoint(note, bundle.origin, bundle.log_keys_at(size))
        except NotVerified:
            if (told := _revoked(note, size, bundle)) is not None:
                raise NotVerified(told) from None
            raise

    return CheckpointKeys(open_note, bundle)


def log_verifier_keys(bundle: TrustedKeys, size: int) -> list[VerifierKey]:
    """As C2SP verifier keys, which other programs read: the log keys whose checkpoint of `size` counts."""
    kind = SignatureType.ED25519
    return [VerifierKey(bundle.origin, kind, key.public_bytes_raw()) for key in bundle.log_keys_at(size)]


def _revoked(note: str, size: int, bundle: TrustedKeys) -> str | None:
    """That who signed the checkpoint is revoked from before it on; None where this is not what is wrong with it."""
    for period in bundle.log_keys.values():
        if period.revoked is not None and period.covers_checkpoint(size):
            with contextlib.suppress(NotVerified):
                open_checkpoint(note, bundle.origin, [period.key])
                since, reason = period.revoked.since, period.revoked.reason
                return f"the checkpoint of {size} entries is signed by a key that is revoked from {since} on: {reason}"
    return None


def _verifier_keys(keys: list[VerifierKey]) -> CheckpointKeys:
    if not keys or any(key.kind is not SignatureType.ED25519 for key in keys):
        raise ValueError("here must be keys of logs (type 01); a witness's key stands in a policy")

    def open_note(note: str) -> Checkpoint:
        origin = read_checkpoint(note).checkpoint.origin
        named = [key.public() for key in keys if key.name == origin]
        if not named:
            raise NotVerified(f"a checkpoint of the log {origin!r}, for which no key was given")
        return open_checkpoint(note, origin, named)

    return CheckpointKeys(open_note)
