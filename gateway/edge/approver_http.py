"""Approvers over HTTP: `/approvals` lists and shows what waits, `/approvals/<id>/answer` takes a signed answer, and
`/approvals/<id>/modify` tells what would be asked instead of a call, with changes; nothing happens before that is signed.

For callers with the role approver. The token only opens the door: an answer counts by the approver's own signature, made for
the route `webhook`, and is checked like anything from outside.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.core import wire
from gateway.core.answer import request_digest
from gateway.core.errors import GatewayError
from gateway.core.obligations import Route as ApprovalRoute
from gateway.core.outcome import Reason
from gateway.core.rate import RecentCalls
from gateway.edge.auth import Caller
from gateway.edge.changes import ChangeDesk
from gateway.edge.door import Door

ROLE = "approver"
MAX_BODY_BYTES = 64 * 1024
MAX_PER_MINUTE = 120

Handler = Callable[[Request, Caller], Awaitable[Response]]


class ApproverDesk:
    """See the module. Owned by the event loop."""

    def __init__(self, changes: ChangeDesk, door: Door) -> None:
        self._changes = changes
        self._questions = changes.questions
        self._door = door
        self._recent = RecentCalls()

    def routes(self) -> list[Route]:
        """Below `/approvals`."""
        return [
            Route("/approvals", self._guarded(self._list)),
            Route("/approvals/{id}", self._guarded(self._show)),
            Route("/approvals/{id}/answer", self._guarded(self._answer), methods=["POST"]),
            Route("/approvals/{id}/modify", self._guarded(self._modify), methods=["POST"]),
        ]

    def _guarded(self, handle: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            caller = await self._door.admit(request)
            if not isinstance(caller, Caller):
                return caller
            if ROLE not in caller.roles:
                return _refused(403, "forbidden", "This needs the role approver.")
            if self._recent.add(_name(caller), time.monotonic()) >= MAX_PER_MINUTE:
                return _refused(429, "too_many", f"At most {MAX_PER_MINUTE} requests in a minute.")
            try:
                return await handle(request, caller)
            except GatewayError as error:
                return _refused(503, error.code, "The gateway cannot tell now. Try again.")

        return guarded

    async def _list(self, request: Request, caller: Caller) -> Response:
        rows = await self._questions.rows(pending_only=True)
        return JSONResponse({"approvals": [row.document() for row in rows]})

    async def _show(self, request: Request, caller: Caller) -> Response:
        found = await self._questions.row(request.path_params["id"])
        if found is None:
            return _refused(404, "approval.unknown", "There is no such approval request.")
        row, arguments = found
        digest = request_digest(row.request.document())
        return JSONResponse({**row.document(), "arguments": orjson.loads(arguments), "request_digest": digest})

    async def _answer(self, request: Request, caller: Caller) -> Response:
        document = await _document(request)
        envelope = document.get("envelope") if isinstance(document, dict) else None
        if not isinstance(envelope, dict):
            return _refused(400, "request.invalid", 'Send {"envelope": the signed answer} as JSON.')
        told = await self._questions.answer(request.path_params["id"], envelope, ApprovalRoute.WEBHOOK)
        if isinstance(told, Reason):
            return _not_counted(told)
        return JSONResponse({"approval_id": told.approval_id, "answer": told.answer, "approver": told.approver})

    async def _modify(self, request: Request, caller: Caller) -> Response:
        approval_id, document = request.path_params["id"], await _document(request)
        told = await self._changes.offer_to(caller, approval_id, document)
        if isinstance(told, Reason):
            return _not_counted(told)
        return JSONResponse({**told.document(), "request_digest": request_digest(told.request.document())})


def _name(caller: Caller) -> str:
    return f"{caller.tenant_id}/{caller.principal}"


async def _document(request: Request) -> Any:
    """The JSON in the body; None where it is none, or too much."""
    held = bytearray()
    async for chunk in request.stream():
        held += chunk
        if len(held) > MAX_BODY_BYTES:
            return None
    try:
        return wire.parse(bytes(held))
    except wire.Malformed:
        return None


def _not_counted(reason: Reason) -> Response:
    return _refused(404 if reason.code == "approval.unknown" else 409, reason.code, reason.message)


def _refused(status: int, code: str, message: str) -> Response:
    return JSONResponse({"error": code, "message": message}, status_code=status)
