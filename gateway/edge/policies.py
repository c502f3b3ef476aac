"""The policies as operators see and change them: reload, roll-back, what was in force, what a candidate would decide."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from gateway.adapters.policy.in_force import AtServer, InForce
from gateway.adapters.policy.shadow import Shadow
from gateway.adapters.store.sqlite.journal import SqliteJournal
from gateway.core.commitment import Missing
from gateway.core.errors import GatewayError
from gateway.edge import api_told as told
from gateway.edge.api_route import OPERATING, READING, ApiRoute, Asked, Nothing, SocketOnly
from gateway.edge.api_sent import LastQuery, RollBack

MAX_RECENT_BYTES = 8 << 20
POLICY = "/api/v1/policy"
INPUTS = SocketOnly("what policy saw of a call has its arguments in it.")
SOURCE = SocketOnly("it names files of the gateway's machine.")


@dataclass(frozen=True, slots=True)
class PolicyDesk:
    """Answers the routes below. `engine` and `path`: as gateway.yaml has them; no path: the policies that come along."""

    engine: str
    path: Path | None
    in_force: InForce | AtServer
    shadow: Shadow | None
    journal: SqliteJournal

    def routes(self) -> list[ApiRoute[Any, Any]]:
        """Below `/api/v1/policy`."""
        no = Nothing
        reload, back = "Let the configured policies decide from now on", "Let kept policies decide from now on"
        history, shadow = "Which policies were in force when", "What the candidate policies decide differently"
        source, inputs, one = (
            "Where policies are configured",
            "What policy saw of the last calls",
            "What policy saw of a call",
        )
        return [
            ApiRoute("POST", f"{POLICY}/reload", OPERATING, reload, no, no, told.PolicyInForce, self._reload, (409,)),
            ApiRoute(
                "POST", f"{POLICY}/rollback", OPERATING, back, no, RollBack, told.PolicyRolledBack, self._roll_back, (409,)
            ),
            ApiRoute("GET", f"{POLICY}/history", READING, history, no, no, told.PolicyHistory, self._history),
            ApiRoute("GET", f"{POLICY}/shadow", READING, shadow, no, no, told.ShadowTold, self._shadow, (404,)),
            ApiRoute("GET", f"{POLICY}/source", SOURCE, source, no, no, told.PolicySourceTold, self._source),
            ApiRoute("GET", f"{POLICY}/inputs", INPUTS, inputs, LastQuery, no, told.PolicyInputs, self._inputs),
            ApiRoute("GET", f"{POLICY}/inputs/{{id}}", INPUTS, one, no, no, told.PolicyInput, self._input),
        ]

    async def _reload(self, asked: Asked[Nothing, Nothing]) -> dict[str, Any]:
        revision = await self.in_force.reload(asked.by)
        if self.shadow is not None:
            await self.shadow.reload()
        return {"revision": revision}

    async def _roll_back(self, asked: Asked[Nothing, RollBack]) -> dict[str, Any]:
        revision = await self.in_force.roll_back(asked.body.revision, asked.by)
        return {"revision": revision, **self.in_force.status()}

    async def _history(self, asked: Asked[Nothing, Nothing]) -> dict[str, Any]:
        return self.in_force.history().document()

    async def _shadow(self, asked: Asked[Nothing, Nothing]) -> dict[str, Any]:
        if self.shadow is None:
            raise GatewayError(
                "no candidate policies are configured",
                hint="Name them as policy.shadow in gateway.yaml.",
                code="policy.no_shadow",
            )
        return {**self.shadow.status(), "differences": self.shadow.differences()}

    async def _source(self, asked: Asked[Nothing, Nothing]) -> dict[str, Any]:
        path = None if self.path is None else str(self.path)
        return {"engine": self.engine, "path": path, **self.in_force.status()}

    async def _inputs(self, asked: Asked[LastQuery, Nothing]) -> dict[str, Any]:
        """The last ones, as many as were asked for and fit."""
        found: list[dict[str, Any]] = []
        left = MAX_RECENT_BYTES
        async for document in self.journal.policy_inputs(asked.query.last):
            left -= len(orjson.dumps(document))
            if left < 0:
                break
            found.append(document)
        return {"inputs": found}

    async def _input(self, asked: Asked[Nothing, Nothing]) -> dict[str, Any]:
        found = await self.journal.policy_input(asked.path["id"])
        if isinstance(found, Missing):
            return {"input": None, "missing": found.value}
        return {"input": found, "missing": None}
