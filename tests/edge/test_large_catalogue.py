"""A catalogue that is larger than a page, and callers who may know of parts of it: over HTTP, with every step recorded."""

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from gateway.adapters.keys import make_keys
from tests.edge.box import Box
from tests.edge.clients import HandshakeClient
from tests.running import REPOSITORY, ModernClient, RunningGateway

MANY = 300
SEARCH = "sealgate__search_tools"
CALLERS = {
    "alice": "",
    "bob": 'tools: ["box__echo", "box__extra_1*", "every__prompts/get"]',
    "carol": 'exposure: search, tools: ["box__*"]',
    "dora": "tools: []",
    "eve": 'tools: ["every__*", "every__resources/*", "every__completion/*"]',
}
CONFIG = """
listen: {{page_size: 100}}
mcpServers:
  box: {{command: "{python}", args: ["-m", "tests.edge.upstream", "{folder}"]}}
  every: {{command: "{python}", args: ["-m", "tests.conformance.everything", "stdio"], cwd: "{repository}"}}
upstreams: {{box: {{names: bare}}}}
tools:
  - {{match: "box__add_row", mode: local_write, trust: trusted}}
  - {{match: ["*__*", "*__*/*"], mode: read_only, trust: trusted}}
callers:
{callers}
"""


class Serving(RunningGateway):
    """`sealgate serve`, with a configured token in the place of that of development."""

    @property
    def token(self) -> str:
        return "alice"


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    folder = tmp_path_factory.mktemp("large")
    (folder / "box").mkdir()
    routed = {"type": "string", "x-mcp-header": "Region"}
    extra: list[dict[str, Any]] = [
        {
            "name": f"extra_{number:03}",
            "description": "Tells the weather." if number == 123 else f"Number {number}.",
            "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}, "region": routed}},
        }
        for number in range(MANY)
    ]
    (folder / "box" / "extra.json").write_text(json.dumps(extra))
    callers = "".join(
        f'  - {{principal: "user:{name}", token_sha256: {hashlib.sha256(name.encode()).hexdigest()}, {more}}}\n'
        for name, more in CALLERS.items()
    )
    gateway = Serving(folder, verb="serve")
    gateway.configure(CONFIG.format(python=sys.executable, folder=folder / "box", repository=REPOSITORY, callers=callers))
    make_keys(gateway.state / "keys", origin="sealgate.local/default", dev=False)
    with gateway:
        gateway.approve_tools()
        running = Box(gateway, folder / "box")
        yield running
        running.assert_sound()


@contextmanager
def client(box: Box, name: str) -> Iterator[ModernClient]:
    with ModernClient(box.gateway, token=name) as connected:
        yield connected


def pages(client: ModernClient | HandshakeClient) -> list[list[str]]:
    found: list[list[str]] = []
    params: dict[str, Any] = {}
    while True:
        result = client.request("tools/list", params)["result"]
        found.append([tool["name"] for tool in result["tools"]])
        if "nextCursor" not in result:
            return found
        params = {"cursor": result["nextCursor"]}


def told(response: dict[str, Any]) -> dict[str, Any]:
    """An error without what is this call's own."""
    error: dict[str, Any] = response["error"]
    receipt = error["data"].pop("dev.sealgate/receipt")
    assert receipt["kind"] == "denied"
    return error


def of_any_call(predicate: Mapping[str, Any]) -> dict[str, Any]:
    """What an entry tells but for what is every call's own: its place, its ids and times, and the name that was called."""
    own = {"index", "id", "envelope_id", "at", "requested_at", "recorded_at", "call", "run"}
    return {key: value for key, value in predicate.items() if key not in own}


def test_a_large_catalogue_comes_in_pages_in_both_eras(box: Box) -> None:
    with client(box, "alice") as modern, HandshakeClient(box.gateway) as handshake:
        listed = pages(modern)
        assert listed == pages(handshake)
    assert listed[0][0] == SEARCH
    assert {len(page) for page in listed[:-1]} == {100}
    names = [name for page in listed for name in page]
    assert len(names) == len(set(names))
    assert {f"extra_{number:03}" for number in range(MANY)} <= set(names)


def test_a_cursor_of_nobody_is_refused(box: Box) -> None:
    with client(box, "alice") as alice:
        assert alice.request("tools/list", {"cursor": "bm9uZQ=="})["error"]["code"] == -32602


def test_a_caller_is_listed_and_finds_only_what_they_may_know_of(box: Box) -> None:
    with client(box, "bob") as bob, client(box, "dora") as dora:
        (listed, more) = pages(bob)
        assert {name for name in [*listed, *more] if not name.startswith("extra_1")} == {SEARCH, "echo"}
        assert len(listed) + len(more) == 102
        assert found(bob, "extra number", 20)["matches"] == 100
        assert pages(dora) == [[]]
        assert found(dora, "extra number echo weather", 20) == {"tools": [], "more": [], "matches": 0}


def found(client: ModernClient, query: str, limit: int = 5) -> dict[str, Any]:
    result = client.call(SEARCH, {"query": query, "limit": limit})["result"]
    said: dict[str, Any] = result["structuredContent"]
    return said


def test_a_client_with_search_lists_one_tool_finds_another_and_calls_it_by_name(box: Box) -> None:
    with client(box, "carol") as carol, client(box, "alice") as alice:
        assert pages(carol) == [[SEARCH]]
        size = box.size()
        (tool, *_) = found(carol, "what is the weather?")["tools"]
        assert box.size() == size, "a search is a read of the list, and leaves no entry"
        assert tool["name"] == "extra_123"
        listed = [each for each in alice.request("tools/list", {})["result"]["tools"] if each["name"] == SEARCH]
        assert carol.request("tools/list", {})["result"]["tools"] == listed
        answer = carol.call(tool["name"], {"text": "here"})["result"]
        assert answer["content"][0]["text"] == "extra_123: here"
        assert (
            box.entry(answer["_meta"]["dev.sealgate/receipt"]).predicate["capability"]["capability_id"] == "box__extra_123"
        )


def test_wrong_arguments_of_a_search_are_told(box: Box) -> None:
    with client(box, "alice") as alice:
        assert alice.call(SEARCH, {"limit": 1})["result"]["isError"]


@pytest.mark.parametrize("name", ["box__add_row", "add_row", "box__extra_200", "extra_200", "every__test_simple_text"])
def test_a_tool_that_a_caller_may_not_know_of_is_answered_and_recorded_as_one_that_is_not_there(box: Box, name: str) -> None:
    before = box.lines("calls")
    with client(box, "bob") as bob, HandshakeClient(box.gateway, token="bob") as old:
        for ask in (bob, old):
            size = box.size()
            hidden, unknown = ask.call(name, {"text": "x"}), ask.call("box__no_such_tool", {"text": "x"})
            assert told(hidden) == told(unknown)
            first, second = box.entries(size)
            assert of_any_call(first.predicate) == of_any_call(second.predicate)
    assert box.lines("calls") == before


def test_the_schema_of_a_tool_is_not_looked_at_for_whoever_may_not_know_of_it(box: Box) -> None:
    """A header that contradicts an argument is refused by the schema; nothing of a hidden tool may be told by that."""
    with client(box, "alice") as alice, client(box, "dora") as dora:
        assert asked_with_wrong_header(alice)["error"]["code"] == -32020
        assert asked_with_wrong_header(dora)["error"]["code"] == -32602


def asked_with_wrong_header(client: ModernClient) -> dict[str, Any]:
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
    params = {"name": "box__extra_001", "arguments": {"region": "north"}, "_meta": meta}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {"Mcp-Method": "tools/call", "Mcp-Name": "box__extra_001", "Mcp-Param-Region": "south"}
    said: dict[str, Any] = client.post(json.dumps(body).encode(), headers).json()
    return said


@pytest.mark.parametrize("name", ["bob", "dora"])
def test_resources_completions_and_subscriptions_that_a_caller_may_not_know_of_are_not_there(box: Box, name: str) -> None:
    with client(box, name) as nobody:
        assert nobody.request("resources/list", {})["result"]["resources"] == []
        assert nobody.request("resources/templates/list", {})["result"]["resourceTemplates"] == []
        hidden = told(nobody.request("resources/read", {"uri": "test://static-text"}))
        unknown = told(nobody.request("resources/read", {"uri": "nothing://here"}))
        assert {**hidden, "data": {}} == {**unknown, "data": {}}
        ref = {"type": "ref/resource", "uri": "test://template/{id}/data"}
        asked = {"ref": ref, "argument": {"name": "id", "value": "a"}}
        nothing = {**asked, "ref": {"type": "ref/resource", "uri": "nothing://{id}"}}
        assert told(nobody.request("completion/complete", asked)) == told(nobody.request("completion/complete", nothing))
    with HandshakeClient(box.gateway, token=name) as old:
        hidden = told(old.request("resources/subscribe", {"uri": "test://watched-resource"}))
        unknown = told(old.request("resources/subscribe", {"uri": "nothing://here"}))
        assert (hidden["code"], hidden["message"]) == (unknown["code"], unknown["message"])


def test_prompts_are_there_for_whoever_may_get_prompts(box: Box) -> None:
    with client(box, "bob") as bob, client(box, "eve") as eve:
        prompts = [prompt["name"] for prompt in bob.request("prompts/list", {})["result"]["prompts"]]
        assert "every__test_simple_prompt" in prompts
        assert bob.request("prompts/get", {"name": "every__test_simple_prompt"})["result"]["messages"]
        assert eve.request("prompts/list", {})["result"]["prompts"] == []
        hidden = told(eve.request("prompts/get", {"name": "every__test_simple_prompt"}))
        assert hidden == told(eve.request("prompts/get", {"name": "every__no_such_prompt"}))


def test_what_a_caller_may_know_of_is_read_and_subscribed_to(box: Box) -> None:
    with client(box, "eve") as eve, HandshakeClient(box.gateway, token="eve") as old:
        assert len(eve.request("resources/list", {})["result"]["resources"]) == 3
        assert eve.request("resources/read", {"uri": "test://static-text"})["result"]["contents"]
        assert "result" in old.request("resources/subscribe", {"uri": "test://watched-resource"})
        assert all(name.startswith("every__") for page in pages(eve) for name in page)
