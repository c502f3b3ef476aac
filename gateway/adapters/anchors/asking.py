"""One bounded POST to a witness or a time-stamp authority. No redirect is followed, no proxy of the environment used."""

import ssl
from dataclasses import dataclass

import aiohttp

from gateway import __version__
from gateway.core.errors import Unreachable

SECONDS = 10.0
MAX_ANSWER_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    content_type: str
    body: bytes


def anchor_session(tls: ssl.SSLContext | bool = True) -> aiohttp.ClientSession:
    """The HTTP session of all anchors. Made on the running loop, closed by its owner."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=tls),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=SECONDS),
        headers={"user-agent": f"sealgate/{__version__}"},
    )


async def ask(session: aiohttp.ClientSession, url: str, body: bytes, content_type: str) -> Answer:
    """POST `body`. Raises `Unreachable` where no whole answer of a sensible size comes in time."""
    try:
        async with session.post(url, data=body, headers={"content-type": content_type}, allow_redirects=False) as response:
            answer = b""
            async for chunk in response.content.iter_any():
                answer += chunk
                if len(answer) > MAX_ANSWER_BYTES:
                    raise Unreachable(f"{url} answers with more than {MAX_ANSWER_BYTES} bytes")
            return Answer(response.status, response.content_type, answer)
    except TimeoutError as error:
        raise Unreachable(f"{url} does not answer within {SECONDS:.0f} s") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise Unreachable(f"{url} cannot be reached: {error}") from error
