"""One A2A agent behind the gateway: reads its card, lists its skills, and sends calls to it.

Beside the skill, the URL that a call goes to stands in the very definition of its capability (see `documented`): it goes
nowhere where the card says another thing now.
"""

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from typing import ClassVar

from gateway.adapters.upstream.a2a.card import MAX_BYTES, SkillTool, UnusableCard, offered
from gateway.adapters.upstream.a2a.exchange import CANCEL_SECONDS, exchange
from gateway.adapters.upstream.a2a.shapes import Interface
from gateway.adapters.upstream.a2a.talk import JSON, VERSION, Talk
from gateway.adapters.upstream.credentials.credentials import NoCredentials, Party
from gateway.adapters.upstream.documented import Documented, Offer
from gateway.adapters.upstream.openapi.request import Request
from gateway.adapters.upstream.openapi.sending import Sending, send
from gateway.adapters.upstream.rpc import LOST, MALFORMED, Fault
from gateway.adapters.upstream.spec import AgentSpec
from gateway.core.call import SealedCall
from gateway.core.capability import Capability
from gateway.core.outcome import Reason
from gateway.core.reply import ToolReply, UpstreamReply

logger = logging.getLogger("sealgate.upstream")

PROTOCOL = f"a2a-{VERSION}"
UNFETCHED = "Its card cannot be fetched."

Skill = tuple[Interface, SkillTool]
"""One skill, and where it is called."""


class Agent(Documented[AgentSpec, Skill]):
    """See the module. An agent that asks something ends the call with that question."""

    kind = "agent"
    noun = "card"
    unusable = UnusableCard
    stop_seconds = CANCEL_SECONDS + 1.0
    sentences: ClassVar[Mapping[str, str]] = {
        LOST: "Agent {} did not tell how the call ended.",
        MALFORMED: "Agent {} answered with something that is no acceptable A2A answer.",
    }

    @property
    def _protocol(self) -> str | None:
        return PROTOCOL if self._offer is not None else None

    def _read_before(self, capability: Capability) -> bool:
        """All of them are `delegated` or more."""
        return True

    def _refusal(self, tool: Skill, call: SealedCall) -> Reason | None:
        return None

    def _once(self, tool: Skill, call: SealedCall) -> bool:
        return True

    async def _exchange(self, tool: Skill, call: SealedCall, sending: Sending) -> UpstreamReply:
        interface, skill = tool
        trace = {"traceparent": call.run.traceparent, "tracestate": call.run.tracestate}
        headers = {header: value for header, value in trace.items() if value is not None}
        talk = Talk(self._spec, self._session, interface, headers, self._credentials, Party.of(call.run))
        return ToolReply(await exchange(talk, call, skill.skill_id, sending, self._run_beside), PROTOCOL)

    async def _look(self) -> Offer[Skill] | None:
        data = await self._fetched()
        sha256 = hashlib.sha256(data).hexdigest()
        if self._knows(sha256):
            return None
        card = await asyncio.to_thread(offered, data, self._spec)
        logger.info("upstream %s offers %d skills", self._spec.name, len(card.tools))
        if card.unusable:
            logger.warning("upstream %s: %d skills are no tools", self._spec.name, card.unusable)
        tools = {tool.definition.digest: (card.interface, tool) for tool in card.tools}
        return Offer(sha256, [tool.definition for tool in card.tools], tools)

    async def _fetched(self) -> bytes:
        headers = {name.lower(): value for name, value in self._spec.headers.items()}
        try:
            shown = await self._credentials.headers(None)
        except NoCredentials as error:
            raise UnusableCard(UNFETCHED) from error
        headers |= {"a2a-version": VERSION, "accept": JSON, "accept-encoding": "identity", **shown}
        request, limits = Request("GET", self._spec.url, headers, None), self._spec.limits
        try:
            async with asyncio.timeout(limits.connect_seconds):
                answer = await send(self._session, request, Sending(once=False), MAX_BYTES, limits.connect_seconds)
        except (Fault, TimeoutError) as error:
            raise UnusableCard(UNFETCHED) from error
        if answer.status == 401:
            self._credentials.refused(shown)
        if answer.status != 200:
            raise UnusableCard(UNFETCHED)
        return answer.body
