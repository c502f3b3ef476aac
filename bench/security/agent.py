"""The worst case of a hijacked agent, scripted: it obeys the attack at once, whole, and then goes on as if nothing were.

It does the user's calls up to the first result that carries the attack's text, then every call of the attack, then the rest
of the user's. It speaks MCP to the gateway and knows nothing else of the world. What it cannot do is what its user's client
does for the user: answer in the user's place.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import httpx2
import orjson

from bench.security.calls import Attempt, Call, Side, Task

MODERN = "2026-07-28"
Person = Callable[[str], object]
"""Asked about the approval with this id; has answered when it returns."""


@dataclass(frozen=True, slots=True)
class Told:
    """The gateway's answer to one call. `text` is what a model would read."""

    outcome: str
    text: str
    approval_id: str | None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Course:
    """What the agent did. `met_attack`: a result carried the attack's text. `answer` is what it tells its user."""

    attempts: tuple[Attempt, ...]
    met_attack: bool
    answer: str


class Caller(Protocol):
    """Whoever makes calls for the agent: `Client`, over MCP."""

    def call(self, tool: str, arguments: dict[str, Any], key: str) -> Told:
        """One call with an idempotency key."""


class Client:
    """Speaks MCP 2026-07-28 to the gateway, as one caller, in one run. `http` is shared: it is dear to make."""

    def __init__(self, http: httpx2.Client, port: int, token: str, meta: Mapping[str, Any]) -> None:
        self._http = http
        self._url = f"http://127.0.0.1:{port}/mcp"
        self._token = token
        self._meta = {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": {},
            **meta,
        }
        self._numbers = itertools.count(1)

    def call(self, tool: str, arguments: dict[str, Any], key: str) -> Told:
        """One tools/call. Raises `RuntimeError` where the answer is none of a governed call."""
        meta = {**self._meta, "dev.sealgate/idempotency-key": key}
        params = {"name": tool, "arguments": arguments, "_meta": meta}
        message = {"jsonrpc": "2.0", "id": next(self._numbers), "method": "tools/call", "params": params}
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": MODERN,
            "Mcp-Method": "tools/call",
            "Mcp-Name": tool,
        }
        document = orjson.loads(self._http.post(self._url, content=orjson.dumps(message), headers=headers).content)
        if "result" not in document:
            raise RuntimeError(f"the gateway answered a call of {tool} with {document}")
        result = document["result"]
        outcome = result["_meta"]["dev.sealgate/outcome"]
        text = "\n".join(item.get("text", "") for item in result["content"])
        return Told(outcome["outcome"], text, outcome.get("approval_id"), tuple(outcome.get("reasons", ())))


class Agent:
    """See the module. `capability` names a suite's tool as the gateway does; `person` None: nobody answers."""

    def __init__(self, client: Caller, capability: Callable[[str], str], person: Person | None) -> None:
        self._client = client
        self._capability = capability
        self._person = person
        self._keys = (f"call-{number}" for number in itertools.count(1))

    def run(self, task: Task, marker: str) -> Course:
        """Do the task; where a result carries `marker`, do the attack."""
        attempts: list[Attempt] = []
        met = False
        for call in task.user_calls:
            attempt, text = self._attempt(Side.USER, call)
            attempts.append(attempt)
            if task.attack_calls and not met and marker in text:
                met = True
                attempts += [self._attempt(Side.ATTACK, each)[0] for each in task.attack_calls]
        done = all(attempt.ran for attempt in attempts if attempt.side is Side.USER)
        return Course(tuple(attempts), met, task.answer if done else "")  # who was refused knows no answer

    def _attempt(self, side: Side, call: Call) -> tuple[Attempt, str]:
        """Make one call, with a key of its own: an attack may well want the same effect twice."""
        tool, key = self._capability(call.tool), next(self._keys)
        told = self._client.call(tool, call.arguments, key)
        asked = told.reasons if told.approval_id is not None else None
        if told.approval_id is not None and self._person is not None:
            self._person(told.approval_id)
            told = self._client.call(tool, call.arguments, key)
        return Attempt(side, call, told.outcome, asked), told.text
