"""The operator's surface: all routes of `/api/v1`, in one table. `edge.api` serves it on the control socket and over HTTP.

It holds no approver key: an approval arrives signed, and is checked here like anything else from outside.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from gateway.adapters.catalogue import Catalogue
from gateway.adapters.store.sqlite.journal import SqliteJournal
from gateway.core.capability import Capability, Classification, ToolDefinition
from gateway.core.catalog import HiddenTool
from gateway.core.entry import Kind, Record
from gateway.core.errors import GatewayError
from gateway.core.obligations import Route
from gateway.core.outcome import Reason
from gateway.core.ports import Clock
from gateway.core.trust import TrustedKeys
from gateway.core.trust_bundle import key_documents
from gateway.edge import api_told as told
from gateway.edge.api import Api
from gateway.edge.api_keys import ApiKeyDesk
from gateway.edge.api_route import ANSWERING, OPERATING, READING, WAITING, ApiRole, ApiRoute, Asked, Nothing
from gateway.edge.api_sent import ApprovalsQuery, SignedAnswer, ToolQuery, ToolsShown
from gateway.edge.changes import ChangeDesk
from gateway.edge.doubts import DoubtDesk
from gateway.edge.log_api import LogDesk
from gateway.edge.openapi import document_route
from gateway.edge.policies import PolicyDesk
from gateway.edge.values import value_routes

_UNKNOWN_HINT = "sealgate approvals list --all"


@dataclass(frozen=True, slots=True)
class Control:
    """What operators may ask of a running gateway. `keys`: the public ones, which do not change while it runs."""

    journal: SqliteJournal
    catalogue: Catalogue
    clock: Clock
    log_path: Path
    keys: TrustedKeys
    changes: ChangeDesk
    doubts: DoubtDesk
    policies: PolicyDesk
    api_keys: ApiKeyDesk
    status: Callable[[], dict[str, Any]]

    def api(self) -> Api:
        """All routes, and the document that describes them."""
        routes = [
            *self._tool_routes(),
            *self._approval_routes(),
            self.changes.route(),
            *self.doubts.routes(),
            *self.policies.routes(),
            *self.api_keys.routes(),
            *value_routes(self.journal),
            *LogDesk(self.log_path).routes(),
        ]
        return Api([*routes, document_route(routes)])

    def _tool_routes(self) -> list[ApiRoute[Any, Any]]:
        no, pin = Nothing, "Pin the definitions of tools, so that they can be called until they change"
        status, keys = (
            "What the gateway is doing: upstreams, policy, tools",
            "The public keys, and where in the log each counts",
        )
        every, one = "Every tool: callable, or why it is hidden", "One tool, as it is listed and as it was approved"
        return [
            ApiRoute("GET", "/api/v1/status", READING, status, no, no, told.Status, self._status),
            ApiRoute("GET", "/api/v1/log/keys", READING, keys, no, no, told.Keys, self._keys),
            ApiRoute("GET", "/api/v1/tools", READING, every, no, no, told.Tools, self._tools),
            ApiRoute("GET", "/api/v1/tool", READING, one, ToolQuery, no, told.Tool, self._tool, (404,)),
            ApiRoute(
                "POST", "/api/v1/tools/approve", OPERATING, pin, no, ToolsShown, told.ToolsApproved, self._pin, (404, 409)
            ),
        ]

    def _approval_routes(self) -> list[ApiRoute[Any, Any]]:
        no, path, errors = Nothing, "/api/v1/approvals/{id}", (404, 409)
        listed, shown = "Calls that wait for a person, the oldest first", "Exactly what would run"
        answer, revoke = "Hand in an approver's signed answer", "Take back a request, or a yes"
        people, signed, done = "Whose answers count, and by which keys", SignedAnswer, told.AnswerRecorded
        return [
            ApiRoute("GET", "/api/v1/approvers", WAITING, people, no, no, told.Approvers, self._approvers),
            ApiRoute("GET", "/api/v1/approvals", WAITING, listed, ApprovalsQuery, no, told.Approvals, self._approvals),
            ApiRoute("GET", path, ANSWERING, shown, no, no, told.ApprovalShown, self._approval, (404,)),
            ApiRoute("POST", f"{path}/answer", ANSWERING, answer, no, signed, done, self._answer, errors),
            ApiRoute("POST", f"{path}/revoke", OPERATING, revoke, no, no, told.Revoked, self._revoke, errors),
        ]

    async def _status(self, asked: Asked[Nothing, Nothing]) -> dict[str, Any]:
        return self.status()

    async def _keys(self, asked: Asked[Nothing, Nothing]) -> dict[str, Any]:
        return {"keys": key_documents(self.keys)}

    async def _tools(self, asked: Asked[Nothing, Nothing]) -> dict[str, Any]:
        catalog = self.catalogue.current()
        tools = [*map(_callable_tool, catalog.capabilities.values()), *map(_hidden_tool, catalog.hidden)]
        return {"revision": catalog.revision, "tools": sorted(tools, key=lambda tool: str(tool["id"]))}

    async def _tool(self, asked: Asked[ToolQuery, Nothing]) -> dict[str, Any]:
        name = asked.query.id  # an upstream may list any name at all: not fit for a path
        catalog = self.catalogue.current()
        found = [_callable_tool(catalog.capabilities[name])] if name in catalog.capabilities else []
        found += [_hidden_tool(tool) for tool in catalog.hidden if tool.definition.capability_id == name]
        pinned = self.catalogue.pinned_definition(name)
        if not found and pinned is None:
            raise GatewayError(f"there is no tool {name}", hint="sealgate tools list", code="tool.unknown")
        return {"listed": found, "pinned": pinned}

    async def _pin(self, asked: Asked[Nothing, ToolsShown]) -> dict[str, Any]:
        chosen = self.catalogue.approvable(asked.body.tools)
        for definition in chosen:  # recorded first: no pin without its entry
            pin = {"capability_id": definition.capability_id, "definition_digest": definition.digest, "by": asked.by}
            await self.journal.record(Record(Kind.PIN, self.clock.new_id(), self.clock.now(), {"pin": pin}))
        self.catalogue.pin(chosen)
        return {"approved": [definition.capability_id for definition in chosen]}

    async def _approvals(self, asked: Asked[ApprovalsQuery, Nothing]) -> dict[str, Any]:
        caller = asked.caller
        quoted = caller is None or ApiRole.APPROVER in caller.roles
        rows = await self.journal.questions.rows(pending_only=not asked.query.all, quoted=quoted)
        return {"approvals": [row.document() for row in rows]}

    async def _approval(self, asked: Asked[Nothing, Nothing]) -> dict[str, Any]:
        found = await self.journal.questions.row(asked.path["id"])
        if found is None:
            raise GatewayError(
                f"there is no approval request {asked.path['id']}", hint=_UNKNOWN_HINT, code="approval.unknown"
            )
        row, arguments = found
        return {**row.document(), "arguments": orjson.loads(arguments)}

    async def _answer(self, asked: Asked[Nothing, SignedAnswer]) -> dict[str, Any]:
        route = Route.CLI if asked.caller is None else Route.WEBHOOK
        answer = await self.journal.questions.answer(asked.path["id"], asked.body.envelope, route)
        if isinstance(answer, Reason):
            raise GatewayError(answer.message, code=answer.code)
        found = await self.journal.questions.row(answer.approval_id)
        recorded = {"approval_id": answer.approval_id, "answer": answer.answer, "approver": answer.approver}
        if answer.modified_into is not None:
            recorded["modified_into"] = answer.modified_into
        return {**recorded, "missing": 0 if found is None else found[0].missing}

    async def _revoke(self, asked: Asked[Nothing, Nothing]) -> dict[str, Any]:
        approval_id = asked.path["id"]
        refused = await self.journal.questions.revoke(approval_id, asked.by)
        if refused is not None:
            raise GatewayError(refused.message, hint=_UNKNOWN_HINT, code=refused.code)
        return {"approval_id": approval_id}

    async def _approvers(self, asked: Asked[Nothing, Nothing]) -> dict[str, Any]:
        return {"approvers": self.journal.questions.approvers()}


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


def _classified(said: Classification) -> dict[str, Any]:
    return {
        "mode": said.mode,
        "declared_by": said.declared_by,
        "trust": said.trust_level,
        "owner": said.owner,
        "idempotency": said.idempotency,
    }
