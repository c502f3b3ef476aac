"""A change of settings is proposed only where it was seen to help, and to open nothing that is closed."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.policy.bundle import default_policies
from gateway.adapters.policy.proposal import NoProposal, Proposal, propose
from gateway.adapters.policy.smoke import smoke_inputs

pytestmark = pytest.mark.anyio

HOST = "network.host_not_allowed"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(default_policies(), tmp_path / "policies"))


def seen(what: str = "a complete network call") -> dict[str, Any]:
    document: dict[str, Any] = json.loads(dict(smoke_inputs())[what])
    return document


def house(folder: Path, rule: str) -> None:
    (folder / "house.rego").write_text(f"package sealgate.authz\n\n{rule}\n")


async def refused(folder: Path, document: dict[str, Any], *recent: dict[str, Any], code: str = HOST) -> NoProposal:
    found = await propose(folder, document, frozenset({code}), recent)
    assert isinstance(found, NoProposal)
    return found


async def test_it_is_tried_on_the_call_and_on_others(folder: Path) -> None:
    others = [seen(), seen("a complete local_write call"), seen("a bare network call")]
    found = await propose(folder, seen(), frozenset({HOST}), others)
    assert isinstance(found, Proposal)
    assert (found.before.effect, found.after.effect, found.tried) == ("ask", "allow", 3)
    assert [(one.before, one.after, one.count) for one in found.changed] == [("ask", "allow", 1)]
    assert '+      "egress_allow": ["host.example"],' in found.diff.splitlines()


async def test_what_does_not_help_is_not_shown(folder: Path) -> None:
    house(
        folder,
        'refusals contains {"code": "house.no", "message": "No."} if "host.example" in data.sealgate.settings.egress_allow',
    )
    found = await refused(folder, seen())
    assert (found.code, "denied" not in found.why, "deny: house.no" in found.why) == ("rule.no_help", True, True)


async def test_what_opens_a_denied_call_is_not_shown(folder: Path) -> None:
    house(
        folder,
        'refusals contains {"code": "house.no", "message": "No."} if {\n\tinput.resource.properties.mode == "local_write"\n'
        "\tcount(data.sealgate.settings.egress_allow) == 0\n}",
    )
    assert (await refused(folder, seen(), seen("a complete local_write call"))).code == "rule.opens_denied"
    assert isinstance(await propose(folder, seen(), frozenset({HOST}), [seen()]), Proposal)


async def test_what_opens_a_call_that_is_denied_for_an_error_is_not_shown(folder: Path) -> None:
    """A rule that fails denies as much as one that says so."""
    house(
        folder,
        "conflicting := input.resource.properties.mode if count(data.sealgate.settings.egress_allow) == 0\n\n"
        'conflicting := "other" if input.resource.id == "house__odd"\n\n'
        'refusals contains {"code": "house.no", "message": "No."} if conflicting == "none"',
    )
    odd = seen("a complete local_write call")
    odd["resource"]["id"] = "house__odd"
    assert (await refused(folder, seen(), odd)).code == "rule.opens_denied"
    assert isinstance(await propose(folder, seen(), frozenset({HOST}), [seen()]), Proposal)


async def test_what_the_folder_does_not_ask_about_needs_no_rule(folder: Path) -> None:
    assert (await refused(folder, seen("a complete local_write call"))).code == "rule.not_asked"
    assert (await refused(folder, seen("a bare network call"))).code == "rule.not_asked"


async def test_what_policy_wants_of_approvers_is_not_done_without(folder: Path) -> None:
    house(folder, 'obligations["approver"] := "user:ann" if input.resource.properties.mode == "network"')
    assert (await refused(folder, seen())).code == "rule.bound"


async def test_a_call_that_cannot_be_decided_without_its_secret_has_no_rule(folder: Path) -> None:
    document = seen()
    document["context"]["arguments"] = {"token": "[redacted: sensitive]"}
    assert isinstance(await propose(folder, document, frozenset({HOST}), ()), Proposal)
    assert (await refused(folder, document, code="house.token")).code == "rule.secret"
