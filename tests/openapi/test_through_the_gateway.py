"""Functions and an API behind one running gateway: seen, approved, called in every mode, and held to what was pinned."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.openapi.documents import GALAXY
from tests.openapi.planets import API_KEY, Planets
from tests.openapi.stub import Stub, serving
from tests.running import REPOSITORY, ModernClient, RunningGateway, outcome, running, text, until

CONFIG = """
functions:
  shop: {{module: shop_tools.py, env: {{SHOP_FOLDER: "{folder}"}}}}
openapi:
  galaxy:
    document: galaxy.json
    base_url: "{url}"
    headers: {{X-API-Key: "{key}"}}
    idempotency_header: Idempotency-Key
    operations: {{exclude: ["* /user/*", "* /auth/*"]}}
    owner: space
upstreams:
  galaxy: {{refresh_seconds: 1}}
  shop: {{refresh_seconds: 1}}
tools:
  - {{match: galaxy__getMe, mode: delegated, owner: people}}
"""


@dataclass
class Setting:
    """The gateway, the folder of its file, the API and what it was sent."""

    gateway: RunningGateway
    folder: Path
    planets: Planets
    stub: Stub

    def listed(self) -> dict[str, Any]:
        return {tool["id"]: tool for tool in self.gateway.json("tools", "list")["tools"]}

    def approved(self, client: ModernClient, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Call it, say yes as a person, call it again."""
        asked = outcome(client.call(tool, arguments, key=f"{tool} {arguments}"))
        assert asked["outcome"] == "awaiting_approval", asked
        self.gateway.run("approvals", "approve", asked["approval_id"], "--yes")
        return client.call(tool, arguments, key=f"{tool} {arguments}")


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    folder = tmp_path_factory.mktemp("kinds")
    shutil.copy(REPOSITORY / "examples" / "shop_tools.py", folder)
    shutil.copy(GALAXY, folder / "galaxy.json")
    planets = Planets()
    with serving(planets.answer) as stub:
        config = CONFIG.format(folder=folder, url=stub.url, key=API_KEY)
        with running(folder, config) as gateway:
            yield Setting(gateway, folder, planets, stub)


@pytest.fixture
def client(setting: Setting) -> Iterator[ModernClient]:
    with ModernClient(setting.gateway) as client:
        yield client


def test_the_list_says_whose_word_each_mode_is(setting: Setting) -> None:
    told = {name: (tool["mode"], tool["declared_by"], tool["owner"]) for name, tool in setting.listed().items()}
    assert told == {
        "galaxy__createCelestialBody": ("network", "method", "space"),
        "galaxy__createPlanet": ("network", "method", "space"),
        "galaxy__deletePlanet": ("destructive", "method", "space"),
        "galaxy__getAllData": ("read_only", "method", "space"),
        "galaxy__getMe": ("delegated", "rule", "people"),
        "galaxy__getPlanet": ("read_only", "method", "space"),
        "galaxy__updatePlanet": ("network", "method", "space"),
        "shop__cancel": ("destructive", "decorator", "shop"),
        "shop__order": ("local_write", "decorator", "shop"),
        "shop__price": ("read_only", "decorator", "shop"),
    }
    shown = setting.gateway.run("tools", "list").stdout
    assert "declared by" in shown
    assert "decorator" in shown


def test_clients_see_the_mode_and_nothing_of_how_a_call_is_made(client: ModernClient) -> None:
    tools = {tool["name"]: tool for tool in client.request("tools/list", {})["result"]["tools"]}
    assert tools["galaxy__deletePlanet"]["_meta"] == {"dev.sealgate/approval-mode": "destructive"}
    assert tools["shop__order"]["_meta"] == {"dev.sealgate/approval-mode": "local_write"}
    assert API_KEY not in json.dumps(tools)


def test_one_call_of_each_mode_of_the_public_document_runs(setting: Setting, client: ModernClient) -> None:
    read = client.call("galaxy__getPlanet", {"planetId": 1})
    assert read["result"]["structuredContent"] == {"id": 1, "name": "Mars"}
    listed = client.call("galaxy__getAllData", {"limit": 3})
    assert setting.stub.seen[-1].target == "/planets?limit=3"
    assert outcome(listed) == {"outcome": "completed"}

    made = setting.approved(client, "galaxy__createPlanet", {"body": {"name": "Vulcan"}})
    assert outcome(made) == {"outcome": "completed"}
    number = made["result"]["structuredContent"]["id"]
    assert setting.planets.planets[number]["name"] == "Vulcan"

    gone = setting.approved(client, "galaxy__deletePlanet", {"planetId": number})
    assert outcome(gone) == {"outcome": "completed"}
    assert number not in setting.planets.planets
    again = client.call("galaxy__deletePlanet", {"planetId": number}, key=f"galaxy__deletePlanet {{'planetId': {number}}}")
    assert outcome(again) == {"outcome": "replayed"}
    assert [seen.method for seen in setting.stub.seen].count("DELETE") == 1
    assert len(set(setting.planets.keys)) == len(setting.planets.keys) == 2

    delegated = client.call("galaxy__getMe", {})
    assert outcome(delegated)["outcome"] == "denied"


def test_one_call_of_each_mode_of_the_functions_runs(setting: Setting, client: ModernClient) -> None:
    assert text(client.call("shop__price", {"item": "pencil"})) == "120"
    refused = client.call("shop__price", {"item": "ship"})
    assert refused["result"]["isError"] is True
    assert "We do not sell that" in text(refused)
    ordered = setting.approved(client, "shop__order", {"item": "notebook", "count": 2})
    assert ordered["result"]["structuredContent"]["total"] == 900
    cancelled = setting.approved(client, "shop__cancel", {"number": 1})
    assert cancelled["result"]["structuredContent"]["cancelled"] is True
    assert json.loads((setting.folder / "orders.json").read_text())[0]["cancelled"] is True
    wrong = client.call("shop__order", {"item": "pencil", "count": "2"})
    assert outcome(wrong) == {"outcome": "denied", "reasons": ["arguments.invalid"]}


def test_an_effect_that_nobody_knows_the_end_of_is_in_doubt_and_not_made_again(
    setting: Setting, client: ModernClient
) -> None:
    setting.planets.timing_out.add("Nibiru")
    arguments = {"body": {"name": "Nibiru"}}
    assert outcome(setting.approved(client, "galaxy__createPlanet", arguments))["outcome"] == "in_doubt"
    again = client.call("galaxy__createPlanet", arguments, key=f"galaxy__createPlanet {arguments}")
    assert outcome(again)["outcome"] == "in_doubt"
    assert [planet["name"] for planet in setting.planets.planets.values()].count("Nibiru") == 1


def test_a_changed_document_is_drift_and_what_it_says_now_is_not_called(setting: Setting, client: ModernClient) -> None:
    document = json.loads((setting.folder / "galaxy.json").read_text())
    document["paths"]["/worlds"] = document["paths"].pop("/planets")
    (setting.folder / "galaxy.json").write_text(json.dumps(document))
    until(lambda: setting.listed()["galaxy__getAllData"].get("hidden") == "drifted", what="drift of the document")
    before = len(setting.stub.seen)
    refused = client.call("galaxy__createPlanet", {"body": {"name": "X"}})
    assert "changed since it was approved" in json.dumps(refused)
    assert len(setting.stub.seen) == before
    diff = setting.gateway.run("tools", "diff", "galaxy__createPlanet").stdout
    assert '-      "path": "/planets"' in diff
    assert '+      "path": "/worlds"' in diff
    assert setting.listed()["galaxy__getPlanet"]["callable"] is True


def test_another_mode_in_the_decorator_is_drift_that_shows_the_mode(setting: Setting) -> None:
    module = setting.folder / "shop_tools.py"
    module.write_text(module.read_text().replace('mode="destructive"', 'mode="read_only"'))
    setting.gateway.stop()
    with setting.gateway:
        listed = setting.listed()["shop__cancel"]
        assert (listed["callable"], listed["hidden"], listed["mode"]) == (False, "drifted", "read_only")
        asked = setting.gateway.run("tools", "approve", "shop__cancel", stdin="n\n", check=False)
        assert "shop__cancel (read_only, declared by decorator)" in asked.stdout + asked.stderr
        assert setting.listed()["shop__cancel"]["callable"] is False
