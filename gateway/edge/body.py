"""Reading a request's body: refused as soon as it is known to be too large, so that a flood is not held."""

from starlette.requests import Request

from gateway.core import wire


class TooLarge(wire.Malformed):
    """More bytes than are read."""

    def __init__(self, most: int) -> None:
        super().__init__(wire.INVALID_REQUEST, f"message is larger than {most} bytes")


async def read_body(request: Request, most: int = wire.MAX_BYTES) -> bytes:
    """The body, of at most so many bytes. Raises `TooLarge`."""
    declared = request.headers.get("content-length", "0")
    if declared.isascii() and declared.isdigit() and int(declared) > most:
        raise TooLarge(most)
    held = bytearray()
    async for chunk in request.stream():
        held += chunk
        if len(held) > most:
            raise TooLarge(most)
    return bytes(held)
