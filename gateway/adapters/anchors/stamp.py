"""Checking an RFC 3161 time stamp over a checkpoint: its imprint, its signature, its certificate.

The stamp is over the checkpoint's signed text (SHA-512), so `openssl ts -verify` checks it with the text alone.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.x509 import Certificate, load_pem_x509_certificates
from rfc3161_client import TimeStampResponse, VerificationError, VerifierBuilder, decode_timestamp_response

from gateway.core.checkpoint import Checkpoint
from gateway.core.errors import ConfigError, VerificationFailed


@dataclass(frozen=True, slots=True)
class Stamp:
    """A checked stamp: the DER TimeStampResp, and the time it states."""

    proof: bytes
    at: datetime


def load_authority(path: Path) -> list[Certificate]:
    """The certificates that stamps must lead up to, from a PEM file. Raises `ConfigError`."""
    try:
        return load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} holds no certificates: {error}", hint="Write the PEM file of the time-stamp authority's CA."
        ) from error


def check_stamp(proof: bytes, checkpoint: Checkpoint, authority: list[Certificate], *, nonce: int | None = None) -> Stamp:
    """The stamp in `proof`, a DER TimeStampResp over `checkpoint`. Raises `VerificationFailed`.

    nonce: what a fresh one must repeat, so that it is no older one; None for a stored one.
    """
    try:
        response: TimeStampResponse = decode_timestamp_response(proof)
        builder = VerifierBuilder(roots=authority, nonce=nonce)
        builder.build().verify_message(response, checkpoint.body())
        return Stamp(proof, response.tst_info.gen_time)
    except (VerificationError, ValueError) as error:
        raise VerificationFailed(f"the time stamp over the checkpoint {checkpoint.size} does not hold: {error}") from error
