"""An A2A 1.0 agent on loopback, after the specification: its card, and JSON-RPC at `/a2a`. A stub serves it."""

import copy
import json
from dataclasses import dataclass, field
from typing import Any

from tests.openapi.stub import Reply, Seen, Stub, as_json

CARD_PATH = "/.well-known/agent-card.json"
SECRET = "Bearer agent-secret"


def card(url: str, **changed: Any) -> dict[str, Any]:
    """The card of an agent that is called at `url`."""
    return {
        "name": "Travel",
        "description": "Books journeys",
        "version": "2.1.0",
        "provider": {"organization": "Example Travel", "url": "https://travel.example"},
        "supportedInterfaces": [
            {"url": f"{url}/rest", "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0"},
            {"url": f"{url}/a2a", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
        ],
        "capabilities": {"streaming": False},
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "skills": [
            {
                "id": "book",
                "name": "Book a journey",
                "description": "Finds and books a journey.",
                "tags": ["travel"],
                "examples": ["Paris to Rome on Friday"],
            },
            {"id": "cancel", "name": "Cancel", "description": "Cancels a booking.", "tags": []},
        ],
        **changed,
    }


def task(state: str, **more: Any) -> dict[str, Any]:
    """A task in `state`, as it is on the wire."""
    status = {"state": f"TASK_STATE_{state}", **more.pop("status", {})}
    return {"id": "task-1", "contextId": "ctx-1", "status": status, **more}


def said(*parts: dict[str, Any]) -> dict[str, Any]:
    """A message of the agent."""
    return {"messageId": "m-1", "role": "ROLE_AGENT", "parts": list(parts)}


@dataclass
class Agent:
    """What it answers, by method: a result, or several in turn, the last one again and again.

    A reply instead of a result is sent as it is; a number is the code of a JSON-RPC error.
    """

    answers: dict[str, list[Any]] = field(default_factory=lambda: {"SendMessage": [{"message": said({"text": "Booked."})}]})
    stub: Stub | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    card_status: int = 200

    def answer(self, seen: Seen) -> Reply:
        """One request."""
        assert self.stub is not None
        if seen.headers.get("authorization") != SECRET:
            return as_json({"detail": "who are you?"}, 401)
        if seen.target == CARD_PATH:
            return as_json(card(self.stub.url, **self.changes), self.card_status)
        asked = json.loads(seen.body)
        listed = self.answers[asked["method"]]
        found = copy.deepcopy(listed.pop(0) if len(listed) > 1 else listed[0])
        if isinstance(found, Reply):
            return found
        if isinstance(found, int):
            told = {"code": found, "message": "no such task"}
            return as_json({"jsonrpc": "2.0", "id": asked["id"], "error": told})
        return as_json({"jsonrpc": "2.0", "id": asked["id"], "result": found})

    def asked(self, method: str) -> list[dict[str, Any]]:
        """The params of all requests of that method."""
        assert self.stub is not None
        documents = [json.loads(seen.body) for seen in self.stub.seen if seen.method == "POST"]
        return [document["params"] for document in documents if document["method"] == method]
