"""Stored values as operators reach them: disclosed for an auditor, and erased for ever. On the control socket only."""

from functools import partial
from typing import Any

from gateway.adapters.store.sqlite.erasure import Erasure
from gateway.adapters.store.sqlite.journal import SqliteJournal
from gateway.core.errors import GatewayError
from gateway.core.secret_formats import plain
from gateway.edge import api_told as told
from gateway.edge.api_route import ApiRoute, Asked, Nothing, SocketOnly
from gateway.edge.api_sent import ErasureOrder

MAX_REASON_CHARS = 500
MAX_NAME_CHARS = 128
VALUES = SocketOnly("values of calls do not leave the gateway's machine by a token.")
ERASING = SocketOnly("what is erased cannot be brought back.")


def value_routes(journal: SqliteJournal) -> list[ApiRoute[Any, Any]]:
    """`GET /api/v1/calls/{id}/values` and `POST /api/v1/erasures`."""
    shown, erased = partial(_values, journal), partial(_erase, journal)
    values, erasures = "What is kept of a call's arguments and result", "Destroy the keys of a subject's values"
    return [
        ApiRoute("GET", "/api/v1/calls/{id}/values", VALUES, values, Nothing, Nothing, told.StoredValues, shown),
        ApiRoute("POST", "/api/v1/erasures", ERASING, erasures, Nothing, ErasureOrder, told.Erased, erased, (404, 409)),
    ]


async def erase(journal: SqliteJournal, subject: str, reason: str, by: str) -> Erasure:
    """Erase a subject's values. `reason` and `by` enter the log in clear, without secrets. Raises `GatewayError`."""
    for what, text, longest in (("a reason", reason, MAX_REASON_CHARS), ("a name", by, MAX_NAME_CHARS)):
        if not 0 < len(text) <= longest:
            raise GatewayError(f"{what} has 1 to {longest} characters", code="erasure.invalid")
    return await journal.erasures.erase(subject, reason=plain(reason), by=plain(by))


async def _values(journal: SqliteJournal, asked: Asked[Nothing, Nothing]) -> dict[str, Any]:
    kept = await journal.values(asked.path["id"])
    return {"values": None if kept is None else kept.document()}


async def _erase(journal: SqliteJournal, asked: Asked[Nothing, ErasureOrder]) -> dict[str, Any]:
    order = asked.body
    done = await erase(journal, order.subject, order.reason, order.by)
    return {"index": done.index, "keys": done.keys, "rows": done.rows, "requests": done.requests}
