"""A 2026-07-28 client in front of a handshake-only server that asks: the call waits for its client, and is nobody else's."""

import hashlib
import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.adapters.keys import make_keys
from gateway.core.entry import Kind
from gateway.edge.parking import MAX_PARKED_PER_CALLER
from tests.edge.box import Box
from tests.edge.talking import PORT, SERVER, assert_sound, talking_server
from tests.running import REPOSITORY, ModernClient, RunningGateway, outcome, text, until

TOKENS = {"alice": "a" * 32, "bob": "b" * 32}
TTL_SECONDS = 4
NAMED = {"action": "accept", "content": {"name": "Ann"}}
ASKING: dict[str, Any] = {
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}, "sampling": {}, "roots": {}}
}
CONFIG = f"""
mcpServers:
  forms: {{command: {sys.executable}, args: [{SERVER}, stdio-handshake], cwd: {REPOSITORY}}}
  web: {{url: "http://127.0.0.1:PORT/mcp"}}
  mute: {{command: {sys.executable}, args: [{SERVER}, stdio-handshake], cwd: {REPOSITORY}}}
tools:
  - {{match: ["forms__elicitation/create", "web__elicitation/create"], mode: read_only, owner: test}}
  - {{match: [forms__ask, web__ask, mute__ask], mode: local_write, trust: trusted, owner: test}}
  - {{match: [forms__*, web__*, mute__*], mode: read_only, trust: trusted, owner: test}}
approvals: {{ttl_seconds: {TTL_SECONDS}}}
callers:
"""


class Serving(RunningGateway):
    """`sealgate serve`, with two callers."""

    @property
    def token(self) -> str:
        return TOKENS["alice"]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("parked")
    running = Serving(folder, verb="serve")
    callers = "".join(
        f'  - {{principal: "user:{name}", token_sha256: {hashlib.sha256(token.encode()).hexdigest()}}}\n'
        for name, token in TOKENS.items()
    )
    make_keys(running.state / "keys", origin="sealgate.local/parked", dev=False)
    with talking_server() as port:
        running.configure(CONFIG.replace(PORT, port) + callers)
        with running:
            running.approve_tools()
            yield running
            assert_sound(running)


@pytest.fixture
def client(gateway: Serving) -> Iterator[ModernClient]:
    with ModernClient(gateway) as one:
        yield one


def ask(
    client: ModernClient, case: str, *, kinds: tuple[str, ...] = ("elicit",), rounds: int = 1, **more: Any
) -> dict[str, Any]:
    """A call in which the server asks; `case` makes it one of its own. `more`: `inputResponses`, `requestState`."""
    arguments = {"kinds": list(kinds), "rounds": rounds, "case": case}
    name = more.pop("name", "forms__ask")
    return client.request("tools/call", {"name": name, "arguments": arguments, **more}, ASKING)


def questions(response: dict[str, Any]) -> dict[str, Any]:
    assert response["result"]["resultType"] == "input_required", response
    asked: dict[str, Any] = response["result"]["inputRequests"]
    return asked


def answers_to(response: dict[str, Any], answer: Any = NAMED) -> dict[str, Any]:
    """What makes the call go on."""
    return {
        "inputResponses": dict.fromkeys(questions(response), answer),
        "requestState": response["result"]["requestState"],
    }


def refusal(response: dict[str, Any]) -> str:
    assert response["error"]["code"] == -32602, response
    return str(response["error"]["message"])


def entries(gateway: RunningGateway, capability: str) -> list[tuple[str, str]]:
    """Kind and id of each entry about this capability."""
    told = (entry for entry in Box(gateway, gateway.folder).entries() if entry.kind is not Kind.BOOT)
    return [(entry.kind.value, entry.id) for entry in told if f'"{capability}"' in json.dumps(entry.predicate)]


def test_a_call_that_asks_is_answered_with_the_question_and_goes_on_with_the_answer(
    gateway: Serving, client: ModernClient
) -> None:
    before = entries(gateway, "forms__ask")
    first = ask(client, "goes on", rounds=2)
    (question,) = questions(first).values()
    assert question["method"] == "elicitation/create"
    assert question["params"]["message"] == "forms: who?"
    assert question["params"]["requestedSchema"]["properties"] == {"name": {"type": "string"}}
    second = ask(client, "goes on", rounds=2, **answers_to(first))
    last = ask(client, "goes on", rounds=2, **answers_to(second, {"action": "decline"}))
    assert json.loads(text(last)) == [NAMED, {"action": "decline"}]
    new = [entry for entry in entries(gateway, "forms__ask") if entry not in before]
    assert [kind for kind, _ in new] == ["intent", "outcome"]
    assert len({envelope for _, envelope in new}) == 1
    assert last["result"]["_meta"]["dev.sealgate/receipt"]["envelope_id"] == new[0][1]


def test_the_state_of_a_server_of_the_same_era_stays_in_the_gateway(client: ModernClient) -> None:
    kinds = ("elicit", "elicit")
    first = ask(client, "same era", kinds=kinds, rounds=2, name="web__ask")
    assert list(questions(first)) == ["elicit-0", "elicit-1"]
    assert first["result"]["requestState"].startswith("call.")
    second = ask(client, "same era", kinds=kinds, rounds=2, name="web__ask", **answers_to(first))
    last = ask(client, "same era", kinds=kinds, rounds=2, name="web__ask", **answers_to(second))
    assert json.loads(text(last)) == [{"elicit-0": NAMED, "elicit-1": NAMED}] * 2


def test_each_question_is_a_call_of_its_own_in_the_log(gateway: Serving, client: ModernClient) -> None:
    before = len(entries(gateway, "forms__elicitation/create"))
    ask(client, "logged", **answers_to(ask(client, "logged")))
    assert len(entries(gateway, "forms__elicitation/create")) == before + 1


def test_the_call_made_again_after_its_end_is_replayed_and_asks_nothing(client: ModernClient) -> None:
    done = ask(client, "again", **answers_to(ask(client, "again")))
    replayed = ask(client, "again")
    assert replayed["result"]["_meta"]["dev.sealgate/outcome"]["outcome"] == "replayed"
    assert replayed["result"]["content"][0] == done["result"]["content"][0]


def test_what_no_rule_names_is_not_asked(client: ModernClient) -> None:
    assert json.loads(text(ask(client, "no rule", name="mute__ask"))) == [-32601]
    known = client.request("tools/call", {"name": "mute__who", "arguments": {}}, ASKING)
    assert "elicitation" not in json.loads(text(known))


def test_a_client_that_offers_nothing_is_not_asked(client: ModernClient) -> None:
    response = client.call("forms__ask", {"kinds": ["elicit"], "case": "offers nothing"})
    assert json.loads(text(response)) == [-32601]


def test_a_state_is_good_once(client: ModernClient) -> None:
    first = ask(client, "once", rounds=2)
    ask(client, "once", rounds=2, **answers_to(first))
    assert "used before" in refusal(ask(client, "once", rounds=2, **answers_to(first)))


def test_a_state_is_good_for_its_call_only(client: ModernClient) -> None:
    first = ask(client, "this call")
    state = answers_to(first)
    assert "not one for this call" in refusal(ask(client, "another call", **state))
    assert "not one for this call" in refusal(ask(client, "this call", name="mute__ask", **state))
    assert json.loads(text(ask(client, "this call", **state))) == [NAMED]


def test_a_state_is_good_for_its_caller_only(gateway: Serving, client: ModernClient) -> None:
    first = ask(client, "whose")
    with ModernClient(gateway, token=TOKENS["bob"]) as bob:
        assert "not one for this call" in refusal(ask(bob, "whose", **answers_to(first)))
    assert json.loads(text(ask(client, "whose", **answers_to(first)))) == [NAMED]


@pytest.mark.parametrize("change", ["x", "", "call.", "call.a.b", "approval.a.b", "call.{}.AAAA"])
def test_a_state_that_was_changed_or_made_up_is_refused(client: ModernClient, change: str) -> None:
    first = ask(client, f"made up {change}")
    given = first["result"]["requestState"]
    state = given[:-4] + "AAAA" if change == "x" else change.format(given.split(".")[1])
    refusal(ask(client, f"made up {change}", **{**answers_to(first), "requestState": state}))


@pytest.mark.parametrize("more", ["=", "==", "-TAMPERED", "=-TAMPERED", " ", "."])
def test_a_state_has_one_spelling(client: ModernClient, more: str) -> None:
    case = f"spelling {more}"
    first = ask(client, case, name="web__ask")
    given = first["result"]["requestState"]
    last = len(given.rstrip("=")) - 1
    spelled = {given[:last] + other + given[last + 1 :] for other in "AQgwBRhx"} - {given}
    for state in (given + more, *spelled):
        refusal(ask(client, case, name="web__ask", **{**answers_to(first), "requestState": state}))
    assert json.loads(text(ask(client, case, name="web__ask", **answers_to(first)))) == [{"elicit-0": NAMED}]


@pytest.mark.parametrize("wrong", [None, 5, {}, {"action": "perhaps"}, {"action": "accept", "content": {"name": {}}}])
def test_an_answer_without_the_form_of_one_is_asked_for_again(client: ModernClient, wrong: Any) -> None:
    case = f"wrong form {wrong}"
    first = ask(client, case)
    again = ask(client, case, **answers_to(first, wrong))
    if "error" in again:  # the protocol's own check; the state is not used up by it
        again = first
    assert json.loads(text(ask(client, case, **answers_to(again)))) == [NAMED]


def test_a_call_that_nobody_comes_back_for_ends_without_an_answer(client: ModernClient) -> None:
    first = ask(client, "forgotten")
    ended = until(lambda: _ended(client, "forgotten"), seconds=TTL_SECONDS + 20, what="the end of the forgotten call")
    assert json.loads(ended["result"]["content"][0]["text"]) == [{"action": "cancel"}]
    assert "has ended" in refusal(ask(client, "forgotten", **answers_to(first)))


def _ended(client: ModernClient, case: str) -> dict[str, Any] | None:
    told = ask(client, case)
    return told if outcome(told)["outcome"] == "replayed" else None


def test_more_calls_of_a_caller_than_may_wait_are_not_put_to_the_client(gateway: Serving) -> None:
    with ModernClient(gateway, token=TOKENS["bob"]) as bob:
        told = [ask(bob, f"many {n}", name="web__ask")["result"] for n in range(MAX_PARKED_PER_CALLER + 1)]
    assert [one["resultType"] for one in told] == ["input_required"] * MAX_PARKED_PER_CALLER + ["complete"]


def test_after_a_restart_the_state_says_so_and_the_effect_is_in_doubt(gateway: Serving, client: ModernClient) -> None:
    first = ask(client, "restart")
    gateway.kill()
    gateway.start()
    assert "started anew" in refusal(ask(client, "restart", **answers_to(first)))
    assert outcome(ask(client, "restart"))["outcome"] == "in_doubt"
