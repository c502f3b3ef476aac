"""Asking an RFC 3161 time-stamp authority for a stamp over a checkpoint."""

import aiohttp
from cryptography.x509 import Certificate
from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

from gateway.adapters.anchors.asking import ask
from gateway.adapters.anchors.stamp import Stamp, check_stamp
from gateway.core.checkpoint import Checkpoint
from gateway.core.errors import Unreachable

_QUERY = "application/timestamp-query"
_REPLY = "application/timestamp-reply"


async def request_stamp(
    session: aiohttp.ClientSession, url: str, checkpoint: Checkpoint, authority: list[Certificate]
) -> Stamp:
    """A new stamp over `checkpoint`.

    Raises:
        Unreachable: the authority does not answer, or not with a stamp.
        VerificationFailed: it answers with one that does not hold.
    """
    request = TimestampRequestBuilder().data(checkpoint.body()).hash_algorithm(HashAlgorithm.SHA512).build()
    answer = await ask(session, url, request.as_bytes(), _QUERY)
    if answer.status != 200 or answer.content_type != _REPLY:
        raise Unreachable(f"the time-stamp authority {url} answers {answer.status} {answer.content_type}")
    return check_stamp(answer.body, checkpoint, authority, nonce=request.nonce)
