"""Changing a call that waits: what an approver is shown and signs before the changed call is asked about.

The gateway makes the new request itself, of what is stored and of the changes, and remembers it until the answer `modify`
comes, which names it (`core/offer.py`). Nothing is filed, and nothing enters the log, before that is signed.
"""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.adapters.store.sqlite.questions import Questions
from gateway.core import wire
from gateway.core.call import Sealer
from gateway.core.errors import GatewayError
from gateway.core.modification import NotApplicable, read_changes
from gateway.core.offer import Offer, make_offer
from gateway.core.outcome import Reason
from gateway.core.ports import CatalogSource, Clock

HERE = ""
"""Who asks through the control socket: whoever operates the gateway."""


@dataclass(frozen=True, slots=True)
class ChangeDesk:
    """Answers the route below."""

    questions: Questions
    catalog: CatalogSource
    sealer: Sealer
    clock: Clock

    def routes(self) -> list[Route]:
        """Under `/api/v1`."""
        return [Route("/api/v1/approvals/{id}/modify", self._modify, methods=["POST"])]

    async def _modify(self, request: Request) -> Response:
        document = wire.parse(await request.body())
        offer = await self.offer(request.path_params["id"], document, HERE)
        if isinstance(offer, Reason):
            raise GatewayError(offer.message, hint="sealgate approvals list", code=offer.code)
        return JSONResponse(offer.document())

    async def offer(self, approval_id: str, document: object, asker: str) -> Offer | Reason:
        """The request that would be asked instead, for `{"changes": {pointer: value}}`; it may be the answer from now on.

        `asker`: whose offers it is kept with.
        """
        try:
            changes = read_changes(document.get("changes") if isinstance(document, dict) else None)
        except NotApplicable as error:
            return Reason("approval.change", f"This cannot be changed: {error}.")
        waits = await self.questions.waits(approval_id)
        if isinstance(waits, Reason):
            return waits
        capability = self.catalog.current().resolve(waits.row.request.capability_id)
        offer = make_offer(waits, changes, capability, self.sealer, approval_id=self.clock.new_id(), now=self.clock.now())
        if isinstance(offer, Offer):
            self.questions.keep_offer(offer, asker)
        return offer
