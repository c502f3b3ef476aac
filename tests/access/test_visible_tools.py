"""What somebody may know of comes with what they were let in by: a token, a key, an issuer, a local process."""

import json

import pytest

from tests.access.house import House
from tests.access.issuer import OTHER_EC
from tests.access.test_peers import UnixConnection
from tests.edge.clients import ENVELOPE, MODERN, Answer, send

SEARCH = "sealgate__search_tools"


def listed(house: House, token: str) -> list[str]:
    params = {"_meta": ENVELOPE}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": params}).encode()
    headers = {"Authorization": f"Bearer {token}", "Mcp-Method": "tools/list", "Mcp-Name": None}
    return names(send(house.gateway, body, headers).json())


def names(document: dict[str, dict[str, list[dict[str, str]]]]) -> list[str]:
    return [tool["name"] for tool in document["result"]["tools"]]


def is_unknown(answer: Answer) -> bool:
    return bool(answer.json()["error"]["message"].startswith("There is no tool of this name."))


def test_a_key_is_for_its_tools_and_the_log_says_which(house: House) -> None:
    size = house.box.size()
    _, key = house.make_key("--principal", "service:few", "--tool", "box__echo", "--tool", "*__headers")
    assert house.box.entries(size)[0].predicate["credential"]["tools"] == ["box__echo", "*__headers"]
    assert listed(house, key) == ["box__echo", "web__headers"]
    assert house.call(key).status == 200
    assert is_unknown(house.call(key, "box__add_row"))
    told = next(one for one in house.box.json("keys", "api", "list")["keys"] if one["principal"] == "service:few")
    assert told["tools"] == ["box__echo", "*__headers"]


def test_a_key_without_globs_is_for_all(house: House) -> None:
    _, key = house.make_key("--principal", "service:all")
    assert {"box__echo", "box__add_row", "web__headers"} <= set(listed(house, key))


@pytest.mark.parametrize("glob", ["box", "", "a b", "box__nothing/here"])
def test_a_glob_that_names_nothing_makes_no_key(house: House, glob: str) -> None:
    size = house.box.size()
    said = house.box.run("keys", "api", "new", "--principal", "service:x", "--tool", glob)
    assert (said.code, house.box.size()) == (2, size)
    assert said.stderr.startswith("error")


def test_a_token_is_for_the_tools_of_its_issuer(house: House) -> None:
    token = house.other.token(house.resource, key=OTHER_EC, kid="ec", algorithm="ES256")
    assert listed(house, token) == ["box__echo"]
    assert is_unknown(house.call(token, "box__add_row"))
    assert "box__add_row" in listed(house, house.token())


def test_a_local_process_is_shown_what_its_rule_says(house: House) -> None:
    connection = UnixConnection(house.gateway.folder / "peers.sock")
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": MODERN,
    }
    try:
        for method, named, params in (
            ("tools/list", {}, {}),
            ("tools/call", {"Mcp-Name": SEARCH}, {"name": SEARCH, "arguments": {"query": "box add row echo", "limit": 20}}),
        ):
            body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": ENVELOPE}})
            connection.request("POST", "/mcp", body.encode(), {**headers, "Mcp-Method": method, **named})
            result = json.loads(connection.getresponse().read())["result"]
            shown = result["tools"] if method == "tools/list" else result["structuredContent"]["tools"]
            assert [tool["name"] for tool in shown] == ([SEARCH] if method == "tools/list" else ["box__echo"])
    finally:
        connection.close()
