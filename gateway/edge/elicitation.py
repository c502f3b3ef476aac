"""Asking the person at the client: MCP elicitation as a route for approvals, in both eras.

Off unless `approvals.elicitation` is on. It serves calls up to `network` only: the program that answers an elicitation may
be the agent itself, so an answer is the client's word, attested by the gateway, and never an approver's signature.

* handshake versions: the client is asked while the call waits (`elicitation/create`)
* 2026-07-28: the call is answered with `input_required`, and made again with the answer. The state that goes along is
  sealed, bound to caller, call and request, good for one use until the request expires; its key dies with the process.

Yes and no are recorded as the principal's answer; whoever closes the form has not answered, and the request waits on.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import anyio
import orjson
import structlog
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitResult
from pydantic import ValidationError

from gateway.adapters.store.sqlite.questions import Questions
from gateway.core.answer import Answer
from gateway.core.approval import ApprovalRequest, ApprovalState
from gateway.core.obligations import Route
from gateway.core.outcome import AwaitingApproval, Reason
from gateway.core.ports import Clock
from gateway.core.secret_formats import REDACTED
from gateway.core.shown import shown_request
from gateway.edge.meta import INVALID_PARAMS, Context, is_modern
from gateway.edge.sealed_state import StateSeal

MAX_SHOWN_CHARS = 8_000
"""A longer call is not asked about here: a part of it is not what will run."""

_FENCE = "```"
"""A client that renders Markdown shows what is between as it is; nothing in what is shown holds a backtick."""

APPROVAL = "approval"
"""The key of the question about a call, among those that are put to a 2026-07-28 client."""
_SCHEMA = {
    "type": "object",
    "properties": {
        "approve": {
            "type": "boolean",
            "title": "Approve exactly this call",
            "description": "Yes lets it run once. No rejects it.",
            "default": False,
        }
    },
    "required": ["approve"],
}

_log = structlog.get_logger("sealgate.elicitation")


class Elicitation:
    """See the module. One per process, owned by its event loop."""

    def __init__(self, questions: Questions, clock: Clock) -> None:
        self._questions = questions
        self._clock = clock
        self._seal = StateSeal("approval", clock)

    def gave(self, state: Any) -> bool:
        """Whether the state says that it was given out here."""
        return self._seal.is_one(state)

    async def answer(self, context: Context, waiting: AwaitingApproval) -> dict[str, Any] | bool:
        """Have the person answer the request that the call waits for.

        Returns whether there is an answer now, so that the call is worth making again; or, in 2026-07-28, the members of the
        `input_required` result to send. Raises `MCPError` where the client sends a state that is not one for this call.
        """
        message = await self._message(waiting.approval_id)
        if message is None or not _can_elicit(context):
            return False
        text, request = message
        if is_modern(context):
            params: Mapping[str, Any] = context.params or {}
            state = params.get("requestState")
            if state is None:
                return self._input_required(text, request)
            self._seal.use(state, _bound(request), request.expires_at)
            responses = params.get("inputResponses")
            return await self._record(request, _told(responses.get(APPROVAL) if isinstance(responses, dict) else None))
        if not context.session.can_send_request:
            return False
        with anyio.move_on_after(self._seconds_until(request.expires_at)):
            try:
                told = await context.session.elicit_form(text, _SCHEMA, related_request_id=context.request_id)
            except (MCPError, ValidationError) as error:  # its answer is none; the request waits on
                _log.warning("elicitation_failed", approval_id=request.approval_id, cause=type(error).__name__)
                return False
            return await self._record(request, told)
        return False

    async def _message(self, approval_id: str) -> tuple[str, ApprovalRequest] | None:
        """What the person is shown; None where an answer of theirs could not count, or not all can be shown: it is
        too long, or something is hidden in it."""
        found = await self._questions.row(approval_id)
        if found is None:
            return None
        row, arguments = found
        principal = row.request.principal_chain[0]
        counts = row.request.refuses(principal, Route.ELICITATION) is None
        if row.state is not ApprovalState.PENDING or not counts or any(one.approver == principal for one in row.answers):
            return None
        if row.hidden or any(REDACTED in reason.message for reason in row.request.reasons):
            return None
        document = {**row.document(), "arguments": orjson.loads(arguments)}
        text = "\n".join(["Approve exactly this call?", "", _FENCE, *shown_request(document), _FENCE])
        if document["arguments"] is None or len(text) > MAX_SHOWN_CHARS:
            return None
        return text, row.request

    async def _record(self, request: ApprovalRequest, told: ElicitResult) -> bool:
        if told.action == "cancel":
            return False
        yes = told.action == "accept" and (told.content or {}).get("approve") is True
        recorded = await self._questions.attest(request.approval_id, Answer.APPROVE if yes else Answer.REJECT)
        if isinstance(recorded, Reason):
            _log.warning("elicitation_not_counted", approval_id=request.approval_id, code=recorded.code)
        return True  # answered here or meanwhile elsewhere: the call meets what became of it

    def _input_required(self, text: str, request: ApprovalRequest) -> dict[str, Any]:
        form = {"mode": "form", "message": text, "requestedSchema": _SCHEMA}
        return {
            "resultType": "input_required",
            "inputRequests": {APPROVAL: {"method": "elicitation/create", "params": form}},
            "requestState": self._seal.seal(_bound(request)),
        }

    def _seconds_until(self, moment: str) -> float:
        return (datetime.fromisoformat(moment) - datetime.fromisoformat(self._clock.now())).total_seconds()


def _bound(request: ApprovalRequest) -> dict[str, Any]:
    """What a state is good for: this request of this caller about this call."""
    return {
        "approval": request.approval_id,
        "call": request.call_digest,
        "caller": [request.tenant_id, *request.principal_chain],
    }


def _can_elicit(context: Context) -> bool:
    """Whether the client offers forms; a client that names no mode offers that one."""
    offered = context.session.client_capabilities
    elicitation = None if offered is None else offered.elicitation
    return elicitation is not None and (elicitation.form is not None or elicitation.url is None)


def _told(response: Any) -> ElicitResult:
    try:
        return ElicitResult.model_validate(response, by_name=False)
    except ValidationError as error:
        raise MCPError(
            INVALID_PARAMS, f'inputResponses["{APPROVAL}"] is the result of the elicitation that was asked for.'
        ) from error
