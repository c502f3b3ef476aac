"""A C2SP tlog-witness over HTTP: `POST /add-checkpoint`, and `GET /<SHA-256 of the origin>/checkpoint` for monitors.

Nobody logs in: what counts is the log's signature. Requests are bounded, and judged one after the other: between reading
what was cosigned last and storing what is cosigned now, nothing else runs. Source: https://c2sp.org/tlog-witness.
"""

import hashlib
from collections.abc import Callable

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gateway.adapters.witness_store import Cosigned, WitnessStore
from gateway.core.checkpoint import Checkpoint, read_checkpoint
from gateway.core.cosignature import cosign, cosignatures
from gateway.core.dsse import NotVerified, Signer
from gateway.core.errors import StoreFault
from gateway.core.verifier_key import VerifierKey
from gateway.core.witness import (
    MAX_REQUEST_BYTES,
    SIZE_TYPE,
    LogKeys,
    Refused,
    check_continues,
    check_signed,
    own_note,
    read_submission,
)

_log = structlog.get_logger("sealgate.witness")


class WitnessApp:
    """Cosigns for `logs` with `key`, whose private half is `signer`. `now`: POSIX seconds. `on_death` is told once."""

    def __init__(
        self,
        key: VerifierKey,
        signer: Signer,
        logs: LogKeys,
        store: WitnessStore,
        *,
        now: Callable[[], int],
        on_death: Callable[[StoreFault], None],
    ) -> None:
        self._key = key
        self._signer = signer
        self._logs = logs
        self._store = store
        self._now = now
        self._on_death = on_death
        self._dead = False
        self._origins = {hashlib.sha256(origin.encode()).hexdigest(): origin for origin in logs}

    def app(self) -> Starlette:
        """The ASGI app."""
        routes = [
            Route("/add-checkpoint", self._add_checkpoint, methods=["POST"]),
            Route("/{origin_hash}/checkpoint", self._checkpoint),
        ]
        return Starlette(routes=routes)

    async def _add_checkpoint(self, request: Request) -> Response:
        try:
            line = self._cosigned(await _read(request))
        except Refused as refused:
            if refused.size is not None:
                return Response(f"{refused.size}\n", status_code=refused.status, headers={"content-type": SIZE_TYPE})
            return PlainTextResponse(f"{refused.reason}\n", status_code=refused.status)
        except StoreFault as fault:
            return self._die(fault)
        return PlainTextResponse(line)

    def _cosigned(self, body: bytes) -> str:
        """Judge, remember and sign: without a pause in between."""
        if self._dead:
            raise Refused(503, "the witness cannot remember any more")
        submission = read_submission(body)
        checkpoint = check_signed(submission, self._logs)

        def continued(newest: str | None) -> Cosigned:
            try:
                check_continues(submission, None if newest is None else self._remembered(newest, checkpoint.origin))
            except Refused as refused:
                if refused.status == 422 or submission.old_size == checkpoint.size == refused.size:
                    # Signed by the log: perhaps the proof that it shows two faces.
                    _log.error("contradiction", note=submission.note, reason=refused.reason)
                raise
            note = own_note(submission, self._logs)
            return checkpoint.size, note, cosign(checkpoint, self._key, self._signer, self._now())

        line = self._store.advance(checkpoint.origin, continued)
        _log.info("cosigned", origin=checkpoint.origin, size=checkpoint.size)
        return line

    def _remembered(self, note: str, origin: str) -> Checkpoint:
        """What this witness cosigned last. Its own signature tells whether the memory is still right."""
        try:
            signed = read_checkpoint(note)
            if signed.checkpoint.origin != origin or not list(cosignatures(signed, (self._key,))):
                raise NotVerified("it is not what this witness cosigned")
        except NotVerified as error:
            raise StoreFault(f"the witness's memory of {origin} is damaged: {error}") from error
        return signed.checkpoint

    async def _checkpoint(self, request: Request) -> Response:
        origin = self._origins.get(request.path_params["origin_hash"])
        try:
            note = None if origin is None else self._store.newest(origin)
        except StoreFault as fault:
            return self._die(fault)
        if note is None:
            return PlainTextResponse("no checkpoint of such a log was cosigned here\n", status_code=404)
        return PlainTextResponse(note)

    def _die(self, fault: StoreFault) -> Response:
        if not self._dead:
            self._dead = True
            _log.critical("witness_failed", cause=fault.message)
            self._on_death(fault)
        return PlainTextResponse("the witness cannot remember any more\n", status_code=503)


async def _read(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_REQUEST_BYTES:
            raise Refused(413, f"a request has at most {MAX_REQUEST_BYTES} bytes")
    return body
