"""The canary audit: no output that can carry a text of others is labelled trusted. Real suites behind a real gateway.

A canary stands in every place that the suites name for an attack, and in every other text that somebody else than the user
could have written. A label is what the gateway says it is, not what a file says.
"""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
import pytest

from bench.security.agent import Client
from bench.security.audit import CANARY
from bench.security.calls import Call
from bench.security.campaign import MARKER, suite_process
from bench.security.children import LineProcess
from bench.security.deployment import Deployment, Setting, operator_rules
from gateway.adapters.daemon import DaemonClient
from tests.bench.suites import reads, texts, writes

pytestmark = [pytest.mark.security, pytest.mark.long, pytest.mark.timeout(300)]

WITHOUT_DATA = {"get_draft_emails"}
"""The suite's mailbox has no draft."""


@dataclass
class Audited:
    """One suite behind a gateway that allows everything, its world full of canaries."""

    suite: str
    world: LineProcess
    labels: dict[str, dict[str, Any]]
    client: Client
    keys: Iterator[int]

    def told(self, call: Call) -> str:
        """What a model would read of this call."""
        told = self.client.call(f"{self.suite}__{call.tool}", call.arguments, f"k{next(self.keys)}")
        assert told.outcome == "completed", (call, told)
        return told.text

    def carriers(self, calls: list[Call]) -> set[str]:
        """The tools that returned a canary."""
        return {call.tool for call in calls if CANARY in self.told(call)}

    def tools(self, **label: str) -> set[str]:
        return {name for name, told in self.labels.items() if all(told[key] == value for key, value in label.items())}


@pytest.fixture(scope="module", params=["banking", "workspace"])
def audited(request: pytest.FixtureRequest, suites: Path) -> Iterator[Audited]:
    with TemporaryDirectory() as folder, _behind_a_gateway(Path(folder), request.param) as audited:
        yield audited


@contextmanager
def _behind_a_gateway(folder: Path, suite: str) -> Iterator[Audited]:
    with suite_process(suite, folder) as world:
        port = world.line()["port"]
        names = world.ask("tools")
        with Deployment(folder / "gateway", suite, Setting.CONTROL, upstream=port, callers=1) as gateway:
            with DaemonClient(gateway.state / "control.sock") as daemon:
                listed = {tool["id"]: tool for tool in daemon.get("/api/v1/tools")["tools"]}
                labels = {name: listed[f"{suite}__{name}"] for name in names}
            with httpx2.Client(timeout=60) as http:
                client = Client(http, gateway.port, gateway.tokens[0], {})
                yield Audited(suite, world, labels, client, itertools.count())


@pytest.fixture
def planted(audited: Audited) -> Any:
    """A fresh world with its canaries; its data."""
    audited.world.ask("plant", suite=audited.suite)
    return audited.world.ask("state")


def test_a_canary_stands_wherever_the_suite_lets_an_attack_stand(audited: Audited, planted: Any) -> None:
    """The data's lists keep their order, so pointers name the same places in both worlds."""
    tasks = audited.world.ask("tasks")
    begun = {"user_task": tasks["user_tasks"][0], "injection_task": tasks["injection_tasks"][0], "marker": MARKER}
    audited.world.ask("begin", **begun)
    attacked = {pointer for pointer, text in texts(audited.world.ask("state")) if MARKER in text}
    canaries = {pointer for pointer, text in texts(planted) if CANARY in text}
    assert attacked
    assert attacked <= canaries


def test_no_output_that_can_carry_a_canary_is_trusted(audited: Audited, planted: Any) -> None:
    calls = list(reads(audited.suite, planted))
    assert {call.tool for call in calls} == audited.tools(mode="read_only"), "every reading tool is called"
    carriers = audited.carriers(calls)
    assert carriers & audited.tools(trust="trusted") == set()
    untrusted = audited.tools(mode="read_only", trust="untrusted")
    assert carriers == untrusted - WITHOUT_DATA, "and every other one shows its canary"


def test_nothing_that_a_call_may_bring_in_from_anywhere_comes_back_trusted(audited: Audited, planted: Any) -> None:
    """Text declared as content may be an attacker's: what a tool writes of it, no trusted output may return."""
    calls = list(writes(audited.suite, planted))
    assert {call.tool for call in calls} == set(audited.labels) - audited.tools(mode="read_only")
    assert audited.carriers(calls) & audited.tools(trust="trusted") == set()
    after = audited.world.ask("state")
    trusted = [call for call in reads(audited.suite, after) if call.tool in audited.tools(trust="trusted")]
    assert trusted
    assert audited.carriers(trusted) == set()


def test_trusted_tools_take_no_argument_that_could_come_back(audited: Audited) -> None:
    for name in audited.tools(trust="trusted"):
        assert not audited.labels[name]["definition"]["inputSchema"].get("properties"), name


def test_reading_tools_change_nothing_but_what_is_read(audited: Audited, planted: Any) -> None:
    """So that counting calls of the other tools counts every effect."""
    for call in reads(audited.suite, planted):
        audited.told(call)
    assert unread(audited.world.ask("state")) == unread(planted)


def test_every_text_that_may_come_from_anywhere_is_tried(audited: Audited, planted: Any) -> None:
    """A time is none: it must parse as one."""
    tried = {
        (call.tool, pointer)
        for call in writes(audited.suite, planted)
        for pointer, text in texts(call.arguments)
        if CANARY in text
    }
    assert {(tool, pointer) for tool, pointer in content(audited.suite) if not pointer.endswith("_time")} <= tried


def content(suite: str) -> Iterator[tuple[str, str]]:
    """The arguments that the operator declares as content, by tool."""
    for rule in operator_rules(suite):
        globs = [rule["match"]] if isinstance(rule["match"], str) else rule["match"]
        for glob, pointer in itertools.product(globs, rule.get("fields", {}).get("content", [])):
            yield glob.removeprefix(f"{suite}__"), pointer


def unread(value: Any) -> Any:
    """Without the marks that a mail was read."""
    if isinstance(value, dict):
        return {key: unread(each) for key, each in value.items() if key != "read"}
    return [unread(each) for each in value] if isinstance(value, list) else value
