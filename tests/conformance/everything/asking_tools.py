"""Tools that ask the client in the middle of a call: forms, sampling, roots, in one round and in several (SEP-2322)."""

import json
from typing import Any, cast

from mcp_types import CreateMessageResult, ElicitRequest, ElicitResult, ListRootsRequest, ListRootsResult

from tests.conformance.everything.call import Call, Question, form, sampling
from tests.conformance.everything.plain_tools import Tool, ToolFailed

NAME = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
COLOR = {"type": "object", "properties": {"color": {"type": "string"}}, "required": ["color"]}
CONFIRM = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
NONCE = "a state that only the first round gives"

MESSAGE = {"type": "object", "properties": {"message": {"type": "string"}}, "required": ["message"]}
PROMPT = {"type": "object", "properties": {"prompt": {"type": "string"}}, "required": ["prompt"]}
PERSON = {
    "type": "object",
    "properties": {
        "username": {"type": "string", "description": "How to call you"},
        "email": {"type": "string", "description": "Where to write to"},
    },
    "required": ["username", "email"],
}
DEFAULTS = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    },
}
ENUMS = {
    "type": "object",
    "properties": {
        "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
        "titledSingle": {
            "type": "string",
            "oneOf": [{"const": "value1", "title": "First"}, {"const": "value2", "title": "Second"}],
        },
        "legacyEnum": {"type": "string", "enum": ["opt1", "opt2"], "enumNames": ["One", "Two"]},
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["option1", "option2"]}},
        "titledMulti": {
            "type": "array",
            "items": {"anyOf": [{"const": "value1", "title": "First"}, {"const": "value2", "title": "Second"}]},
        },
    },
}


async def samples(call: Call) -> str:
    return f"The model says: {await _sampled(call, str(call.arguments['prompt']))}"


async def asks_for_capital(call: Call) -> str:
    return f"The model says: {await _sampled(call, 'What is the capital of France?')}"


async def elicits(call: Call) -> str:
    return _told(await call.elicit("person", str(call.arguments["message"]), PERSON))


async def elicits_defaults(call: Call) -> str:
    return _told(await call.elicit("person", "Who is it?", DEFAULTS))


async def elicits_enums(call: Call) -> str:
    return _told(await call.elicit("choice", "What do you choose?", ENUMS))


async def elicits_on_stream(call: Call) -> str:
    """Says something on the response stream before it asks, so that there is a stream to look at."""
    await call.progress(0, 1, "about to ask")
    return _told(await call.elicit("confirm", "Go on?", CONFIRM))


async def asks_for_name(call: Call) -> str:
    return f"Hello, {_field(await call.elicit('user_name', 'What is your name?', NAME), 'name')}!"


async def lists_roots(call: Call) -> str:
    answers = await call.ask({"client_roots": ListRootsRequest()})
    roots = cast("ListRootsResult", answers["client_roots"]).roots
    return f"{len(roots)} roots: {', '.join(str(root.uri) for root in roots)}"


async def keeps_state(call: Call) -> str:
    _told(await call.elicit("confirm", "Go on?", CONFIRM, NONCE))
    return "state-ok"


async def asks_three(call: Call) -> str:
    questions: dict[str, Question] = {
        "user_name": form("What is your name?", NAME),
        "greeting": sampling("Greet somebody.", 50),
        "client_roots": ListRootsRequest(),
    }
    answers = await call.ask(questions, "three at once")
    return f"{len(answers)} answers"


async def asks_step_by_step(call: Call) -> str:
    """What the first round was told travels in the second round's state."""
    name = json.loads(call.state).get("name") if call.state is not None else None
    if name is None:
        name = _field(await call.elicit("step1", "Step 1: what is your name?", NAME, "{}"), "name")
    color = await call.elicit("step2", "Step 2: what is your favourite colour?", COLOR, json.dumps({"name": name}))
    return f"{name} likes {_field(color, 'color')}."


async def guards_state(call: Call) -> str:
    """A state that was tampered with never gets here: the server's boundary seals what it gives out."""
    _told(await call.elicit("confirm", "Go on?", CONFIRM, "round 1"))
    return "state-ok"


async def asks_what_it_may(call: Call) -> str:
    able: dict[str, Question] = {"ask": form("What is your name?", NAME), "sample": sampling("Say hello.", 50)}
    questions = {key: question for key, question in able.items() if call.allows(type(question))}
    if not questions:
        call.require(ElicitRequest)
    return f"{len(await call.ask(questions, 'as far as the client can'))} answers"


async def _sampled(call: Call, prompt: str) -> str:
    answers = await call.ask({"capital_question": sampling(prompt)})
    content = cast("CreateMessageResult", answers["capital_question"]).content
    if content.type != "text":
        raise ToolFailed(f"the model answered with {content.type}, not with text")
    return content.text


def _field(answer: ElicitResult, name: str) -> Any:
    if answer.action != "accept" or answer.content is None or name not in answer.content:
        raise ToolFailed(f"nobody told {name}: {answer.action}")
    return answer.content[name]


def _told(answer: ElicitResult) -> str:
    return f"{answer.action}: {json.dumps(answer.content or {}, sort_keys=True)}"


_ROUNDS = "test_input_required_result_"
ASKING_TOOLS = (
    Tool("test_sampling", "Asks the client's model.", samples, PROMPT),
    Tool("test_elicitation", "Asks the person at the client.", elicits, MESSAGE),
    Tool("test_elicitation_sep1034_defaults", "Asks by a form with defaults.", elicits_defaults),
    Tool("test_elicitation_sep1330_enums", "Asks by a form with every kind of choice.", elicits_enums),
    Tool("test_streaming_elicitation", "Reports progress, then asks.", elicits_on_stream),
    Tool(f"{_ROUNDS}elicitation", "Asks for a name.", asks_for_name),
    Tool(f"{_ROUNDS}sampling", "Asks the client's model.", asks_for_capital),
    Tool(f"{_ROUNDS}list_roots", "Asks for the client's roots.", lists_roots),
    Tool(f"{_ROUNDS}request_state", "Gives a state and wants it back.", keeps_state),
    Tool(f"{_ROUNDS}multiple_inputs", "Asks three things at once.", asks_three),
    Tool(f"{_ROUNDS}multi_round", "Asks twice, one after the other.", asks_step_by_step),
    Tool(f"{_ROUNDS}tampered_state", "Refuses a state that it did not give.", guards_state),
    Tool(f"{_ROUNDS}capabilities", "Asks only what the client can answer.", asks_what_it_may),
)
