"""An agent behind a running gateway: called in the name of somebody who delegated that and said yes, and else not at all."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.adapters.keys import make_keys
from gateway.adapters.policy.bundle import default_policies
from tests.approvals.people import Person
from tests.openapi.stub import serving
from tests.running import ModernClient, RunningGateway, outcome, text, until
from tests.upstream.a2a_agent import CARD_PATH, SECRET, Agent, said, task

CONFIG = """
agents:
  travel: {{card: "{url}", headers: {{Authorization: "{secret}"}}, owner: trips}}
tools:
  - {{match: travel__cancel, mode: read_only}}
policy: {{path: {policies}}}
callers:
  - {{principal: "user:ada", actors: ["agent:helper"], token_sha256: {delegated}, delegation: {delegation}}}
  - {{principal: "user:ada", actors: ["agent:helper"], token_sha256: {bare}}}
approvers:
{approvers}
"""
DELEGATION = '{scopes: ["travel__*"], expires_at: "2999-01-01T00:00:00Z"}'
ASK = {"message": "Book Paris to Rome"}


class ServingGateway(RunningGateway):
    @property
    def token(self) -> str:
        return "delegated"


@dataclass
class Setting:
    """The gateway, who may say yes, and the agent."""

    gateway: RunningGateway
    ada: Person
    alice: Person
    agent: Agent

    def says_yes(self, person: Person, approval_id: str) -> int:
        """`sealgate approvals approve` by that person; the exit code."""
        files = ("--key", str(person.key), "--passphrase-file", str(person.passphrase))
        return self.gateway.run("approvals", "approve", approval_id, *files, "--yes", check=False).returncode


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    folder, people = tmp_path_factory.mktemp("agents"), tmp_path_factory.mktemp("people")
    ada, alice = (Person.make(people, name) for name in ("user:ada", "user:alice"))
    agent = Agent()
    with serving(agent.answer) as agent.stub:
        gateway = ServingGateway(folder, verb="serve")
        gateway.configure(
            CONFIG.format(
                url=agent.stub.url + CARD_PATH,
                secret=SECRET,
                policies=_policies(folder / "policies"),
                delegation=DELEGATION,
                approvers=ada.listed() + alice.listed(),
                **{token: hashlib.sha256(token.encode()).hexdigest() for token in ("delegated", "bare")},
            )
        )
        make_keys(gateway.state / "keys", origin="sealgate.local/default", dev=False)
        with gateway:
            gateway.run("tools", "approve", "travel__book", "--yes")
            yield Setting(gateway, ada, alice, agent)


def _policies(folder: Path) -> Path:
    """The packaged ones, but for the evidence that a delegated call is to stand on."""
    shutil.copytree(default_policies(), folder)
    data = json.loads((folder / "data.json").read_text())
    data["sealgate"]["settings"]["delegated_evidence"] = 0
    (folder / "data.json").write_text(json.dumps(data))
    return folder


def test_a_skill_is_delegated_by_its_card_and_hidden_where_a_rule_says_less(setting: Setting) -> None:
    listed = {tool["id"]: tool for tool in setting.gateway.json("tools", "list")["tools"]}
    book, cancel = listed["travel__book"], listed["travel__cancel"]
    assert (book["mode"], book["declared_by"], book["owner"], book["callable"]) == ("delegated", "card", "trips", True)
    assert (cancel["callable"], cancel["hidden"]) == (False, "unclassified")
    assert "never less than delegated" in json.dumps(cancel)


def test_an_agent_is_called_once_in_the_name_of_who_delegated_it_and_said_yes(setting: Setting) -> None:
    parts = [{"text": "Booked."}, {"data": {"number": "R-7"}}]
    done = task("COMPLETED", artifacts=[{"artifactId": "a", "parts": parts}])
    setting.agent.answers = {"SendMessage": [{"task": task("WORKING")}], "GetTask": [done]}
    with ModernClient(setting.gateway, token="delegated") as client:
        asked = outcome(client.call("travel__book", ASK, key="rome"))
        assert asked["outcome"] == "awaiting_approval", asked
        assert setting.says_yes(setting.alice, asked["approval_id"]) == 1
        assert outcome(client.call("travel__book", ASK, key="rome"))["outcome"] == "awaiting_approval"
        assert setting.agent.asked("SendMessage") == []
        assert setting.says_yes(setting.ada, asked["approval_id"]) == 0
        booked = client.call("travel__book", ASK, key="rome")
        again = client.call("travel__book", ASK, key="rome")
    assert outcome(booked) == {"outcome": "completed"}
    assert booked["result"]["structuredContent"] == {"number": "R-7"}
    assert booked["result"]["_meta"]["a2a"]["task_id"] == "task-1"
    assert outcome(again) == {"outcome": "replayed"}
    (sent,) = setting.agent.asked("SendMessage")
    assert sent["message"]["parts"] == [{"text": ASK["message"]}]
    assert sent["metadata"]["dev.sealgate/on-behalf-of"] == "user:ada"
    assert setting.gateway.run("log", "verify").returncode == 0


def test_without_a_delegation_it_is_refused_and_nothing_reaches_the_agent(setting: Setting) -> None:
    before = len(setting.agent.stub.seen) if setting.agent.stub is not None else -1
    with ModernClient(setting.gateway, token="bare") as client:
        refused = client.call("travel__book", {"message": "Book it all the same"})
    assert outcome(refused) == {"outcome": "denied", "reasons": ["delegation.missing"]}
    assert setting.agent.stub is not None
    assert len(setting.agent.stub.seen) == before


def test_a_card_that_says_another_thing_of_the_agent_is_drift(setting: Setting) -> None:
    setting.agent.answers = {"SendMessage": [{"message": said({"text": "never"})}]}
    setting.agent.changes = {"name": "Travel Two"}
    before = len(setting.agent.asked("SendMessage"))
    with ModernClient(setting.gateway, token="delegated") as client:
        asked = outcome(client.call("travel__book", ASK, key="drift"))
        assert setting.says_yes(setting.ada, asked["approval_id"]) == 0
        refused = client.call("travel__book", ASK, key="drift")
    assert "another definition than the approved one" in text(refused)
    assert len(setting.agent.asked("SendMessage")) == before

    def hidden() -> bool:
        listed = {tool["id"]: tool for tool in setting.gateway.json("tools", "list")["tools"]}
        return bool(listed["travel__book"].get("hidden") == "drifted")

    until(hidden, what="drift of the card")
    assert '+      "name": "Travel Two"' in setting.gateway.run("tools", "diff", "travel__book").stdout
