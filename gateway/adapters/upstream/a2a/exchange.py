"""One call of an agent: a message, the task it begins, and how that ends.

1. SendMessage, once. The agent answers with a message or a task
2. GetTask, as long as the task goes on: no effect, so what is lost on the way is asked again
3. CancelTask, where nobody waits any longer while the task goes on: best effort, beside everything else

Source: A2A 1.0 specification, sections 3.1 "Core Operations" and 4.1.3 "TaskState".
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import orjson
from pydantic import ValidationError

from gateway.adapters.upstream.a2a.answer import message_result, task_result
from gateway.adapters.upstream.a2a.shapes import Sent, Shape, Task
from gateway.adapters.upstream.a2a.talk import JSON, Talk
from gateway.adapters.upstream.openapi.sending import Sending
from gateway.adapters.upstream.result import result_document
from gateway.adapters.upstream.rpc import (
    LOST,
    MALFORMED,
    NO_CREDENTIALS,
    UNAUTHORIZED,
    UNAVAILABLE,
    Answer,
    Fault,
    HttpRefusal,
    RpcError,
)
from gateway.core.call import SealedCall
from gateway.core.method import Method

FIRST_POLL_SECONDS = 0.25
LONGEST_POLL_SECONDS = 2.0
CANCEL_SECONDS = 2.0
SKILL = "dev.sealgate/skill"
ON_BEHALF_OF = "dev.sealgate/on-behalf-of"
"""Keys in the request's metadata. They inform: an agent has no proof of them."""

Read = TypeVar("Read", bound=Shape)
Beside = Callable[[Coroutine[Any, Any, None]], None]
"""Runs it beside the call, which does not wait for it."""


async def exchange(talk: Talk, call: SealedCall, skill_id: str, sending: Sending, beside: Beside) -> dict[str, Any]:
    """The result document. Raises `Fault`; whether anything may have left is in `sending`. It takes as long as it takes."""
    answer = await talk.request("SendMessage", _params(call, skill_id), sending)
    if isinstance(answer, RpcError | HttpRefusal):
        return result_document(Method.TOOL, answer)
    sent = _read(Sent, answer)
    if sent.message is not None:
        return message_result(sent.message)
    task = sent.task
    assert task is not None  # noqa: S101 - `Sent` has one of the two
    pause = FIRST_POLL_SECONDS
    try:
        while task.status.state.goes_on:
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_POLL_SECONDS)
            task = await _polled(talk, task)
    finally:
        if task.status.state.goes_on:
            beside(_cancel(talk, task.id))
    return task_result(task)


def _params(call: SealedCall, skill_id: str) -> dict[str, Any]:
    given = orjson.loads(call.arguments)
    parts: list[dict[str, Any]] = [{"text": given["message"]}]
    if "data" in given:
        parts.append({"data": given["data"], "mediaType": JSON})
    names = (("context_id", "contextId"), ("task_id", "taskId"))
    ids = {theirs: given[ours] for ours, theirs in names if ours in given}
    return {
        "message": {"messageId": call.envelope_id, "role": "ROLE_USER", "parts": parts, **ids},
        "configuration": {"acceptedOutputModes": ["text/plain", JSON]},
        "metadata": {SKILL: skill_id, ON_BEHALF_OF: str(call.run.principal)},
    }


async def _polled(talk: Talk, task: Task) -> Task:
    """The task as it is now; as it was where that could not be asked."""
    try:
        answer = await talk.request("GetTask", {"id": task.id, "historyLength": 0}, Sending(once=False))
    except Fault as fault:
        if fault.code in (UNAVAILABLE, LOST, NO_CREDENTIALS, UNAUTHORIZED):
            return task
        raise
    if isinstance(answer, HttpRefusal):
        return task
    if isinstance(answer, RpcError):
        raise Fault(LOST)  # it knows its own task no more, so nobody knows how that ended
    found = _read(Task, answer)
    if found.id != task.id:
        raise Fault(MALFORMED)
    return found


async def _cancel(talk: Talk, task_id: str) -> None:
    try:
        async with asyncio.timeout(CANCEL_SECONDS):
            await talk.request("CancelTask", {"id": task_id}, Sending(once=True))
    except (Fault, TimeoutError):
        pass  # the task's end is unknown either way


def _read(shape: type[Read], answer: Answer) -> Read:
    try:
        return shape.model_validate(answer)
    except ValidationError:
        raise Fault(MALFORMED) from None  # its text quotes the answer
