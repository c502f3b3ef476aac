"""One API behind the gateway: reads its document, lists its tools, and sends calls to it, as their operations say."""

import asyncio
import logging

import aiohttp

from gateway.adapters.upstream.addresses import Resolve
from gateway.adapters.upstream.calls import CHECKED_MODES
from gateway.adapters.upstream.credentials.credentials import NOTHING, Credentials, Party
from gateway.adapters.upstream.documented import Documented, Offer
from gateway.adapters.upstream.openapi.answer import api_result
from gateway.adapters.upstream.openapi.document import UnusableDocument
from gateway.adapters.upstream.openapi.operations import Operation, operations_of
from gateway.adapters.upstream.openapi.request import Request, Unsendable, key_value, request_of
from gateway.adapters.upstream.openapi.sending import Sending, send_as
from gateway.adapters.upstream.openapi.source import Source
from gateway.adapters.upstream.owner import Told
from gateway.adapters.upstream.spec import OpenApiSpec
from gateway.core.call import SealedCall
from gateway.core.capability import Capability
from gateway.core.outcome import Reason
from gateway.core.reply import ToolReply, UpstreamReply

logger = logging.getLogger("sealgate.upstream")

MAX_TOLD = 20
UNSENDABLE = "arguments.unsendable"


class Api(Documented[OpenApiSpec, Operation]):
    """See the module."""

    kind = "openapi"
    noun = "document"
    unusable = UnusableDocument

    def __init__(
        self,
        spec: OpenApiSpec,
        session: aiohttp.ClientSession,
        resolve: Resolve,
        told: Told,
        credentials: Credentials = NOTHING,
    ) -> None:
        super().__init__(spec, session, resolve, told, credentials)
        self._source = Source(spec, session)
        self._version: str | None = None

    @property
    def _protocol(self) -> str | None:
        return None if self._version is None else f"openapi-{self._version}"

    def _read_before(self, capability: Capability) -> bool:
        return capability.mode in CHECKED_MODES

    def _refusal(self, tool: Operation, call: SealedCall) -> Reason | None:
        try:
            self._request(tool, call)
        except Unsendable as error:
            return Reason(UNSENDABLE, f"The arguments make no request: {error}.")
        return None

    def _once(self, tool: Operation, call: SealedCall) -> bool:
        return call.capability.mode.has_effect or not tool.is_safe

    async def _exchange(self, tool: Operation, call: SealedCall, sending: Sending) -> UpstreamReply:
        request, party = self._request(tool, call), Party.of(call.run)
        answer = await send_as(self._session, request, sending, self._spec.limits, self._credentials, party)
        return ToolReply(api_result(answer.status, answer.content_type, answer.body), self._protocol or "openapi")

    def _request(self, operation: Operation, call: SealedCall) -> Request:
        key = key_value(call.idempotency, call.fingerprint, call.envelope_id)
        return request_of(operation, self._spec, call.arguments, key)

    async def _look(self) -> Offer[Operation] | None:
        document = await self._source.read()
        if self._knows(document.sha256):
            return None
        offered = await asyncio.to_thread(operations_of, document, self._spec)
        self._version = document.version
        logger.info("upstream %s offers %d operations", self._spec.name, len(offered.operations))
        for label, why in list(offered.unusable.items())[:MAX_TOLD]:
            logger.warning("upstream %s: %.200r is no tool: %s", self._spec.name, label, why)
        if len(offered.unusable) > MAX_TOLD:
            logger.warning("upstream %s: %d more are no tools", self._spec.name, len(offered.unusable) - MAX_TOLD)
        tools = {one.definition.digest: one for one in offered.operations}
        return Offer(document.sha256, [one.definition for one in offered.operations], tools)
