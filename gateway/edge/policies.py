"""The policies as operators see and change them: reload, roll-back, what was in force, what a candidate would decide."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.adapters.policy.in_force import AtServer, InForce
from gateway.adapters.policy.shadow import Shadow
from gateway.adapters.store.sqlite.journal import SqliteJournal
from gateway.core import wire
from gateway.core.commitment import Missing
from gateway.core.errors import GatewayError

MAX_RECENT_BYTES = 8 << 20
_COUNT = re.compile("[1-9][0-9]{0,2}")


@dataclass(frozen=True, slots=True)
class PolicyDesk:
    """Answers the routes below. `engine` and `path`: as gateway.yaml has them; no path: the policies that come along."""

    engine: str
    path: Path | None
    in_force: InForce | AtServer
    shadow: Shadow | None
    journal: SqliteJournal

    def routes(self) -> list[Route]:
        """Under `/api/v1`."""
        return [
            Route("/api/v1/policy/reload", self._reload, methods=["POST"]),
            Route("/api/v1/policy/rollback", self._roll_back, methods=["POST"]),
            Route("/api/v1/policy/history", self._history),
            Route("/api/v1/policy/shadow", self._shadow),
            Route("/api/v1/policy/source", self._source),
            Route("/api/v1/policy/inputs", self._inputs),
            Route("/api/v1/policy/inputs/{id}", self._input),
        ]

    async def _reload(self, request: Request) -> Response:
        revision = await self.in_force.reload()
        if self.shadow is not None:
            await self.shadow.reload()
        return JSONResponse({"revision": revision})

    async def _roll_back(self, request: Request) -> Response:
        match wire.parse(await request.body()):
            case {"revision": str() | None as which}:
                return JSONResponse({"revision": await self.in_force.roll_back(which), **self.in_force.status()})
            case _:
                raise GatewayError("send the revision to roll back to, or null", code="request.invalid")

    async def _history(self, request: Request) -> Response:
        return JSONResponse(self.in_force.history().document())

    async def _shadow(self, request: Request) -> Response:
        if self.shadow is None:
            raise GatewayError(
                "no candidate policies are configured",
                hint="Name them as policy.shadow in gateway.yaml.",
                code="policy.no_shadow",
            )
        return JSONResponse({**self.shadow.status(), "differences": self.shadow.differences()})

    async def _source(self, request: Request) -> Response:
        path = None if self.path is None else str(self.path)
        return JSONResponse({"engine": self.engine, "path": path, **self.in_force.status()})

    async def _inputs(self, request: Request) -> Response:
        """The last ones, as many as were asked for and fit."""
        last = request.query_params.get("last", "")
        if _COUNT.fullmatch(last) is None:
            raise GatewayError("last is a number from 1 to 999", code="request.invalid")
        found: list[dict[str, Any]] = []
        left = MAX_RECENT_BYTES
        async for document in self.journal.policy_inputs(int(last)):
            left -= len(orjson.dumps(document))
            if left < 0:
                break
            found.append(document)
        return JSONResponse({"inputs": found})

    async def _input(self, request: Request) -> Response:
        found = await self.journal.policy_input(request.path_params["id"])
        if isinstance(found, Missing):
            return JSONResponse({"input": None, "missing": found.value})
        return JSONResponse({"input": found, "missing": None})
