"""Stored values as operators reach them: disclosed for an auditor, and erased for ever. On the control socket only."""

from functools import partial

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.adapters.store.sqlite.erasure import Erasure
from gateway.adapters.store.sqlite.journal import SqliteJournal
from gateway.core import wire
from gateway.core.errors import GatewayError
from gateway.core.secret_formats import plain

MAX_REASON_CHARS = 500
MAX_NAME_CHARS = 128


def value_routes(journal: SqliteJournal) -> list[Route]:
    """`GET /api/v1/calls/{id}/values` and `POST /api/v1/erasures`."""
    return [
        Route("/api/v1/calls/{id}/values", partial(_values, journal)),
        Route("/api/v1/erasures", partial(_erase, journal), methods=["POST"]),
    ]


async def erase(journal: SqliteJournal, subject: str, reason: str, by: str) -> Erasure:
    """Erase a subject's values. `reason` and `by` enter the log in clear, without secrets. Raises `GatewayError`."""
    for what, text, longest in (("a reason", reason, MAX_REASON_CHARS), ("a name", by, MAX_NAME_CHARS)):
        if not 0 < len(text) <= longest:
            raise GatewayError(f"{what} has 1 to {longest} characters", code="erasure.invalid")
    return await journal.erasures.erase(subject, reason=plain(reason), by=plain(by))


async def _values(journal: SqliteJournal, request: Request) -> Response:
    kept = await journal.values(request.path_params["id"])
    return JSONResponse({"values": None if kept is None else kept.document()})


async def _erase(journal: SqliteJournal, request: Request) -> Response:
    match wire.parse(await request.body()):
        case {"subject": str(subject), "reason": str(reason), "by": str(by)}:
            done = await erase(journal, subject, reason, by)
        case _:
            raise GatewayError("send subject, reason and by, all of them texts", code="request.invalid")
    return JSONResponse({"index": done.index, "keys": done.keys, "rows": done.rows, "requests": done.requests})
