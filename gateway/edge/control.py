"""The operator's surface, `/api/v1` on a Unix socket that only the daemon's own user can open. The CLI talks to it.

It holds no approver key: an approval arrives signed, and is checked here like anything else from outside.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from gateway.adapters.catalogue import Catalogue
from gateway.adapters.store.sqlite.journal import SqliteJournal
from gateway.adapters.store.sqlite.reader import SqliteLog
from gateway.core import wire
from gateway.core.anchor import Anchor
from gateway.core.capability import Capability, Classification, ToolDefinition
from gateway.core.catalog import HiddenTool
from gateway.core.entry import Kind, Record
from gateway.core.errors import GatewayError
from gateway.core.outcome import Reason
from gateway.core.ports import Clock
from gateway.edge.api_keys import ApiKeyDesk
from gateway.edge.changes import ChangeDesk
from gateway.edge.doubts import DoubtDesk
from gateway.edge.log_http import LogFiles
from gateway.edge.policies import PolicyDesk
from gateway.edge.values import value_routes

_LINES_PER_CHUNK = 256
_PLACE = re.compile("[0-9]{1,18}")  # fits a 64-bit integer


@dataclass(frozen=True, slots=True)
class Control:
    """What operators may ask of a running gateway."""

    journal: SqliteJournal
    catalogue: Catalogue
    clock: Clock
    log_path: Path
    changes: ChangeDesk
    doubts: DoubtDesk
    policies: PolicyDesk
    api_keys: ApiKeyDesk
    status: Callable[[], dict[str, Any]]

    def app(self) -> Starlette:
        """The ASGI app for the control socket."""
        routes = [
            Route("/api/v1/status", self._status),
            Route("/api/v1/tools", self._tools),
            Route("/api/v1/tools/approve", self._approve_tools, methods=["POST"]),
            Route("/api/v1/tool", self._tool),
            Route("/api/v1/approvers", self._approvers),
            Route("/api/v1/approvals", self._approvals),
            Route("/api/v1/approvals/{id}", self._approval),
            Route("/api/v1/approvals/{id}/answer", self._answer, methods=["POST"]),
            Route("/api/v1/approvals/{id}/revoke", self._revoke, methods=["POST"]),
            *self.changes.routes(),
            *self.doubts.routes(),
            *self.policies.routes(),
            *self.api_keys.routes(),
            *value_routes(self.journal),
            Route("/api/v1/log/head", self._log_head),
            Route("/api/v1/log/checkpoints", self._log_checkpoints),
            Route("/api/v1/log/entries", self._log_entries),
            Route("/api/v1/log/anchored", self._log_anchored),
            Mount("/api/v1/log", routes=LogFiles(self.log_path).routes()),
        ]
        return Starlette(routes=routes, exception_handlers={GatewayError: _failed, wire.Malformed: _malformed})

    async def _status(self, request: Request) -> Response:
        return JSONResponse(self.status())

    async def _tools(self, request: Request) -> Response:
        catalog = self.catalogue.current()
        tools = [*map(_callable_tool, catalog.capabilities.values()), *map(_hidden_tool, catalog.hidden)]
        return JSONResponse({"revision": catalog.revision, "tools": sorted(tools, key=lambda tool: str(tool["id"]))})

    async def _tool(self, request: Request) -> Response:
        name = request.query_params.get("id", "")  # an upstream may list any name at all: not fit for a path
        catalog = self.catalogue.current()
        found = [_callable_tool(catalog.capabilities[name])] if name in catalog.capabilities else []
        found += [_hidden_tool(tool) for tool in catalog.hidden if tool.definition.capability_id == name]
        pinned = self.catalogue.pinned_definition(name)
        if not found and pinned is None:
            raise GatewayError(f"there is no tool {name}", hint="sealgate tools list", code="tool.unknown")
        return JSONResponse({"listed": found, "pinned": pinned})

    async def _approve_tools(self, request: Request) -> Response:
        body = await _body(request)
        shown = body.get("tools")
        if not isinstance(shown, dict) or not all(isinstance(digest, str) for digest in shown.values()):
            raise GatewayError('send {"tools": {tool: digest, …}}', code="request.invalid")
        chosen = self.catalogue.approvable(shown)
        for definition in chosen:  # recorded first: no pin without its entry
            pin = {"capability_id": definition.capability_id, "definition_digest": definition.digest}
            await self.journal.record(Record(Kind.PIN, self.clock.new_id(), self.clock.now(), {"pin": pin}))
        self.catalogue.pin(chosen)
        return JSONResponse({"approved": [definition.capability_id for definition in chosen]})

    async def _approvals(self, request: Request) -> Response:
        pending_only = request.query_params.get("all") is None
        rows = await self.journal.questions.rows(pending_only=pending_only)
        return JSONResponse({"approvals": [row.document() for row in rows]})

    async def _approval(self, request: Request) -> Response:
        found = await self.journal.questions.row(request.path_params["id"])
        if found is None:
            raise GatewayError(
                f"there is no approval request {request.path_params['id']}",
                hint="sealgate approvals list --all",
                code="approval.unknown",
            )
        row, arguments = found
        return JSONResponse({**row.document(), "arguments": orjson.loads(arguments)})

    async def _answer(self, request: Request) -> Response:
        body = await _body(request)
        envelope = body.get("envelope")
        if not isinstance(envelope, dict):
            raise GatewayError("send the signed answer as `envelope`", code="request.invalid")
        answer = await self.journal.questions.answer(request.path_params["id"], envelope)
        if isinstance(answer, Reason):
            raise GatewayError(answer.message, code=answer.code)
        found = await self.journal.questions.row(answer.approval_id)
        told = {"approval_id": answer.approval_id, "answer": answer.answer, "approver": answer.approver}
        if answer.modified_into is not None:
            told["modified_into"] = answer.modified_into
        return JSONResponse({**told, "missing": 0 if found is None else found[0].missing})

    async def _revoke(self, request: Request) -> Response:
        approval_id = request.path_params["id"]
        refused = await self.journal.questions.revoke(approval_id)
        if refused is not None:
            raise GatewayError(refused.message, hint="sealgate approvals list --all", code=refused.code)
        return JSONResponse({"approval_id": approval_id})

    async def _approvers(self, request: Request) -> Response:
        return JSONResponse({"approvers": self.journal.questions.approvers()})

    async def _log_head(self, request: Request) -> Response:
        log = SqliteLog(self.log_path)
        size, root = log.head()
        log.close()
        return JSONResponse({"size": size, "root": root.hex()})

    async def _log_checkpoints(self, request: Request) -> Response:
        return _lines(self.log_path, lambda log: ({"size": size, "note": note} for size, note in log.checkpoints()))

    async def _log_anchored(self, request: Request) -> Response:
        return _lines(
            self.log_path,
            lambda log: (
                {"note": found.note, "anchors": [_anchor(anchor) for anchor in found.anchors]} for found in log.anchored()
            ),
        )

    async def _log_entries(self, request: Request) -> Response:
        start, text = request.query_params.get("start", "0"), request.query_params.get("naming")
        if _PLACE.fullmatch(start) is None:
            raise GatewayError("start is a place in the log", code="request.invalid")
        return _lines(
            self.log_path,
            lambda log: (
                {"index": stored.index, "entry": b64encode(stored.entry).decode(), "leaf": stored.leaf.hex()}
                for stored in (log.entries(int(start)) if text is None else log.entries_naming(text))
            ),
        )


def _lines(path: Path, documents: Callable[[SqliteLog], Iterator[dict[str, Any]]]) -> Response:
    """Documents from the log, one a line. Read in threads: a long log takes seconds."""

    def chunks() -> Iterator[bytes]:
        with closing(SqliteLog(path)) as log:
            lines = (orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE) for document in documents(log))
            while chunk := b"".join(islice(lines, _LINES_PER_CHUNK)):
                yield chunk

    return StreamingResponse(chunks(), media_type="application/x-ndjson")


async def _body(request: Request) -> dict[str, Any]:
    document = wire.parse(await request.body())
    if not isinstance(document, dict):
        raise GatewayError("send a JSON object", code="request.invalid")
    return document


async def _failed(request: Request, error: Exception) -> Response:
    if not isinstance(error, GatewayError):
        raise error
    document = {"code": error.code, "message": error.message, "hint": error.hint, "exit_code": error.exit_code}
    return JSONResponse({"error": document}, status_code=409)


async def _malformed(request: Request, error: Exception) -> Response:
    return await _failed(request, GatewayError(str(error), code="request.invalid"))


def _anchor(anchor: Anchor) -> dict[str, Any]:
    told = {"size": anchor.size, "kind": anchor.kind.value, "who": anchor.who, "at": anchor.at}
    return {**told, "proof": b64encode(anchor.proof).decode()}


def _definition(definition: ToolDefinition) -> dict[str, Any]:
    return {
        "id": definition.capability_id,
        "upstream": definition.upstream,
        "digest": definition.digest,
        "definition": definition.document,
    }


def _callable_tool(capability: Capability) -> dict[str, Any]:
    return {**_definition(capability.definition), "callable": True, **_classified(capability.classification)}


def _hidden_tool(tool: HiddenTool) -> dict[str, Any]:
    said = {} if tool.classification is None else _classified(tool.classification)
    return {**_definition(tool.definition), "callable": False, "hidden": tool.why, "explanation": tool.explanation, **said}


def _classified(told: Classification) -> dict[str, Any]:
    return {
        "mode": told.mode,
        "declared_by": told.declared_by,
        "trust": told.trust_level,
        "owner": told.owner,
        "idempotency": told.idempotency,
    }
