"""Changing a call that waits: what an approver is shown and signs before the changed call is asked about.

The gateway makes the new request itself, of what is stored and of the changes, and remembers it until the answer `modify`
comes, which names it (`core/offer.py`). Nothing is filed, and nothing enters the log, before that is signed.
"""

from dataclasses import dataclass
from typing import Any

from gateway.adapters.store.sqlite.questions import Questions
from gateway.core.call import Sealer
from gateway.core.errors import GatewayError
from gateway.core.modification import NotApplicable, read_changes
from gateway.core.obligations import Route
from gateway.core.offer import Offer, make_offer
from gateway.core.outcome import Reason
from gateway.core.ports import CatalogSource, Clock
from gateway.edge import api_told as told
from gateway.edge.api_route import ANSWERING, ApiRoute, Asked, Nothing
from gateway.edge.api_sent import Changes
from gateway.edge.auth import Caller

HERE = ""
"""Who asks through the control socket: whoever operates the gateway."""


@dataclass(frozen=True, slots=True)
class ChangeDesk:
    """Answers the route below."""

    questions: Questions
    catalog: CatalogSource
    sealer: Sealer
    clock: Clock

    def route(self) -> ApiRoute[Any, Any]:
        """`POST /api/v1/approvals/{id}/modify`."""
        summary = "What would be asked instead of a call, with these changes"
        path = "/api/v1/approvals/{id}/modify"
        return ApiRoute("POST", path, ANSWERING, summary, Nothing, Changes, told.ApprovalShown, self._modify, (404, 409))

    async def _modify(self, asked: Asked[Nothing, Changes]) -> dict[str, Any]:
        approval_id, document = asked.path["id"], {"changes": asked.body.changes}
        if asked.caller is None:
            offer = await self.offer(approval_id, document, HERE)
        else:
            offer = await self.offer_to(asked.caller, approval_id, document)
        if isinstance(offer, Reason):
            raise GatewayError(offer.message, hint="sealgate approvals list", code=offer.code)
        return offer.document()

    async def offer_to(self, caller: Caller, approval_id: str, document: object) -> Offer | Reason:
        """The same for a caller over HTTP, whose answer may come by the route `webhook`, or else there is no offer."""
        found = await self.questions.row(approval_id)
        refused = None if found is None else found[0].request.refuses(str(caller.principal), Route.WEBHOOK)
        if refused is not None and refused.code != "approval.wrong_approver":  # it may carry the right one's answer
            return refused
        return await self.offer(approval_id, document, f"{caller.tenant_id}/{caller.principal}")

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
