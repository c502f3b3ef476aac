"""Calls in doubt as operators see them: which there are, a person's verdict, and asking the tool that can tell.

Asking is an ordinary governed call, by the gateway's own principal: policy decides it and an entry records it. The tool gets
what it declares of `envelope_id`, `tool` (its server's own name of the lost call's tool) and `arguments` (those of the lost
call), and answers in structuredContent: {"status": "completed" | "failed" | "unknown", "result": CallToolResult, if known}.
Only a definite status is a verdict; whatever else happens leaves the call in doubt, also the stored answer to an earlier
question. What is kept of question and answer belongs to the lost call's subject, and goes when that is erased.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from gateway.adapters.store.sqlite.doubts import Doubts
from gateway.adapters.upstream.result import result_document
from gateway.adapters.upstream.rpc import MALFORMED, Fault
from gateway.adapters.upstream.spec import MAX_RESULT_BYTES, Limits
from gateway.core.call import ToldResult, ToolRequest
from gateway.core.canonical import NotCanonical
from gateway.core.capability import SEPARATOR, ApprovalMode, Capability
from gateway.core.catalog import Rule, classify
from gateway.core.commitment import Missing, whole
from gateway.core.errors import GatewayError
from gateway.core.idempotency import CallRow, State
from gateway.core.method import method_of
from gateway.core.outcome import (
    AwaitingApproval,
    Completed,
    Conflict,
    Denied,
    Failed,
    InDoubt,
    Outcome,
    Reason,
    Replayed,
)
from gateway.core.resolution import Method, Resolution
from gateway.core.run_context import Principal, PrincipalKind, RunContext
from gateway.core.secret_formats import plain
from gateway.edge import api_told
from gateway.edge.api_route import OPERATING, READING, ApiRoute, Asked, Nothing
from gateway.edge.api_sent import Verdict
from gateway.pipeline import Gateway

RECONCILER = Principal(PrincipalKind.SERVICE, "sealgate-reconcile")
MAX_VERDICT_BYTES = 16 << 10  # all but the result


@dataclass(frozen=True, slots=True)
class _Told:
    """What the tool that was asked said; without a verdict, `why` says what came instead."""

    why: str
    verdict: State | None = None
    result: ToldResult | None = None
    evidence_id: str | None = None


@dataclass(frozen=True, slots=True)
class DoubtDesk:
    """Answers the routes below.

    `rules` name the tool that can tell how a call ended; `pinned` gives a tool's approved definition, listed or not;
    `limits` are those of each upstream.
    """

    gateway: Gateway
    doubts: Doubts
    rules: Sequence[Rule]
    tenant_id: str
    pinned: Callable[[str], dict[str, Any] | None]
    limits: Mapping[str, Limits]

    def routes(self) -> list[ApiRoute[Any, Any]]:
        """Below `/api/v1/runs`."""
        no, errors = Nothing, (404, 409)
        listed, ended = "Calls whose end is unknown, the oldest first", "Say how a call in doubt ended, once"
        asked = "Ask the registered tool how a call in doubt ended"
        longest = MAX_RESULT_BYTES + MAX_VERDICT_BYTES
        return [
            ApiRoute("GET", "/api/v1/runs/in-doubt", READING, listed, no, no, api_told.Doubts, self._list),
            ApiRoute(
                "POST",
                "/api/v1/runs/{id}/resolve",
                OPERATING,
                ended,
                no,
                Verdict,
                api_told.VerdictRecorded,
                self._resolve,
                errors,
                longest,
            ),
            ApiRoute(
                "POST", "/api/v1/runs/{id}/reconcile", OPERATING, asked, no, no, api_told.Reconciled, self._reconcile, errors
            ),
        ]

    async def _list(self, asked: Asked[Nothing, Nothing]) -> dict[str, Any]:
        return {"in_doubt": [self._document(row) for row in self.doubts.rows()]}

    async def _resolve(self, asked: Asked[Nothing, Verdict]) -> dict[str, Any]:
        row = _found(self.doubts.row(asked.path["id"]))
        self._check_size(row, asked.size)
        said = asked.body
        if said.result is not None and said.verdict != "completed":
            raise GatewayError("a call that was not done has no result", code="request.invalid")
        resolution = Resolution(
            row.envelope_id,
            State(said.verdict),
            Method.OPERATOR,
            by=plain(asked.named(said.by)),  # by and reason enter the log in clear: without secrets of known formats
            reason=plain(said.reason),
            result=None if said.result is None else self._disclosed(row, said.result),
        )
        return await self._recorded(resolution)

    async def _reconcile(self, asked: Asked[Nothing, Nothing]) -> dict[str, Any]:
        row = _found(self.doubts.row(asked.path["id"]))
        told = await self._ask(row)
        if told.verdict is None:
            return {"envelope_id": row.envelope_id, "verdict": None, "why": told.why}
        resolution = Resolution(
            row.envelope_id,
            told.verdict,
            Method.RECONCILE,
            by=str(RECONCILER),
            reason=told.why,
            result=told.result,
            evidence_id=told.evidence_id,
        )
        return {**await self._recorded(resolution), "why": told.why}

    def _check_size(self, row: CallRow, size: int) -> None:
        """What is sent keeps within the bounds of what the upstream itself may answer. Raises `GatewayError`."""
        upstream = row.capability_id.partition(SEPARATOR)[0]
        most = self.limits.get(upstream, Limits()).max_result_bytes
        if size > most + MAX_VERDICT_BYTES:
            raise GatewayError(
                f"the result is too large: {upstream} may answer with {most} bytes",
                hint=f"Set max_result_bytes of {upstream} in gateway.yaml, or leave the result out.",
                code="resolution.result",
            )

    async def _recorded(self, resolution: Resolution) -> dict[str, Any]:
        receipt = await self.doubts.resolve(resolution)
        if isinstance(receipt, Reason):
            raise GatewayError(receipt.message, code=receipt.code)
        return {
            "envelope_id": resolution.envelope_id,
            "verdict": resolution.verdict,
            "receipt": receipt.document(),
        }

    def _document(self, row: CallRow) -> dict[str, Any]:
        return {
            "envelope_id": row.envelope_id,
            "tool": row.capability_id,
            "subject": row.subject,
            "principal_chain": list(row.principal_chain),
            "since": row.updated_at,
            "why": row.reason,
            "reconcile": self._tool_to_ask(row),
        }

    def _tool_to_ask(self, row: CallRow) -> str | None:
        classification = classify(row.capability_id, self.rules)
        return None if classification is None else classification.reconcile

    async def _ask(self, row: CallRow) -> _Told:
        name = self._tool_to_ask(row)
        if name is None:
            raise GatewayError(
                f"no tool is registered that can tell how calls of {row.capability_id} ended",
                hint="Set `reconcile` under `tools` in gateway.yaml, or find out and use sealgate runs resolve.",
                code="reconcile.not_registered",
            )
        capability = self.gateway.catalog.current().resolve(name)
        if isinstance(capability, Reason):
            return _Told(f"{name} cannot be called: {capability.message}")
        if capability.mode is not ApprovalMode.READ_ONLY:
            return _Told(f"{name} is not read_only")
        arguments = await self._arguments(row, capability)
        if isinstance(arguments, str):
            return _Told(arguments)
        run = RunContext(
            tenant_id=self.tenant_id,
            principal=RECONCILER,
            actors=(),
            roles=frozenset({"agent"}),
            trace_id=os.urandom(16).hex(),
            mode_ceiling=ApprovalMode.READ_ONLY,
            about=row.subject,
        )
        clock = self.gateway.clock
        asked = ToolRequest(clock.new_id(), name, arguments, None, clock.now())
        return self._read(row, name, await self.gateway.call(run, asked))

    async def _arguments(self, row: CallRow, capability: Capability) -> dict[str, Any] | str:
        """What the tool is asked with; a sentence where the lost call's arguments are needed and not there."""
        declared = capability.definition.document["inputSchema"].get("properties", {})
        offered: dict[str, Any] = {
            "envelope_id": row.envelope_id,
            "tool": row.capability_id.partition(SEPARATOR)[2],
        }
        if "arguments" in declared:
            kept = await self.doubts.arguments(row.envelope_id)
            if isinstance(kept, Missing):
                return f"the arguments of the call are {'erased' if kept is Missing.ERASED else 'no longer kept'}"
            if any(one.redacted for one in kept):
                return "the arguments of the call were stored redacted, so they cannot be sent"
            offered["arguments"] = whole(kept)
        return {name: value for name, value in offered.items() if name in declared}

    def _read(self, row: CallRow, name: str, outcome: Outcome) -> _Told:
        match outcome:
            case Completed():
                pass
            case Replayed():
                return _Told(
                    f"{name} was asked the same a moment ago and is not asked again yet: its answer may be outdated"
                )
            case Denied(reasons=reasons) | AwaitingApproval(reasons=reasons):
                return _Told(f"{name} was not called: " + " ".join(reason.message for reason in reasons))
            case Conflict(reason=reason) | InDoubt(reason=reason) | Failed(reason=reason):
                return _Told(f"{name} did not answer: {reason.message}")
            case _:
                assert_never(outcome)
        said = outcome.result.get("structuredContent")
        if outcome.result.get("isError") or not isinstance(said, dict):
            return _Told(f"{name} gave no usable answer")
        match said.get("status"):
            case "completed":
                verdict = State.COMPLETED
            case "failed":
                verdict = State.FAILED
            case _:
                return _Told(f"{name} does not know")
        result = None
        if verdict is State.COMPLETED and said.get("result") is not None:
            try:
                result = self._disclosed(row, said["result"])
            except GatewayError as error:
                return _Told(f"{name} says it was done, with a result that is unusable: {error.message}")
        return _Told(f"{name} says so", verdict, result, outcome.receipt.envelope_id)

    def _disclosed(self, row: CallRow, document: Any) -> ToldResult:
        """The commitment to a result that was told. Raises `GatewayError` where it is no CallToolResult."""
        try:
            if not isinstance(document, dict) or document.get("resultType", "complete") != "complete":
                raise Fault(MALFORMED)
            result = result_document(method_of(row.capability_id.partition(SEPARATOR)[2]), document)
            return self.gateway.sealer.disclose_told_result(self.pinned(row.capability_id), result)
        except (Fault, NotCanonical) as error:
            raise GatewayError(
                "the result is no MCP tool result",
                hint='Write for example {"content": [{"type": "text", "text": "refunded"}]}',
                code="resolution.result",
            ) from error


def _found(row: CallRow | Reason) -> CallRow:
    if isinstance(row, Reason):
        raise GatewayError(row.message, hint="sealgate runs in-doubt", code=row.code)
    return row
