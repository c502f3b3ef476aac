"""SIGTERM in the middle of an effect: it is finished and recorded, or in doubt; never lost and never done again."""

import threading
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.running import ModernClient, RunningGateway, outcome, status_of, until

pytestmark = pytest.mark.long

CONFIG = """
mcpServers: {{count: {{url: {url}}}}}
upstreams: {{count: {{deadline_seconds: {deadline}, breaker_failures: 0}}}}
tools: [{{match: count__*, mode: local_write, trust: trusted, owner: test}}]
"""


class Slow:
    """A call of `slow_effect` from its own thread, and its answer where one came."""

    def __init__(self, gateway: RunningGateway, key: str) -> None:
        self.answer: dict[str, Any] | None = None
        self._gateway, self._key, self._token = gateway, key, gateway.token
        self._thread = threading.Thread(target=self._call)
        self._thread.start()

    def _call(self) -> None:
        with ModernClient(self._gateway, token=self._token) as client:
            try:
                self.answer = client.call("count__slow_effect", {"key": self._key}, key=self._key)
            except (httpx2.TransportError, ValueError):
                return

    def join(self) -> None:
        self._thread.join(timeout=30)
        assert not self._thread.is_alive()


def terminated_in_an_effect(
    tmp_path: Path, effects: tuple[str, Path], *, deadline: float, answers: bool
) -> tuple[RunningGateway, Slow]:
    """A gateway, started again after it got SIGTERM while an effect ran that was (or was not) answered after that."""
    url, counted = effects
    gateway = RunningGateway(tmp_path)
    gateway.configure(CONFIG.format(url=url, deadline=deadline))
    gateway.start()
    gateway.approve_tools()
    slow = Slow(gateway, "slow")
    until(lambda: counted.read_text() == "slow\n", what="the effect")
    assert gateway.process is not None
    gateway.process.terminate()
    until(lambda: not _accepts(gateway), what="the closed door")
    if answers:
        counted.with_name("effects.go").touch()
    assert gateway.process.wait(timeout=30) == 0
    slow.join()
    counted.with_name("effects.go").touch()
    gateway.start()
    return gateway, slow


def _accepts(gateway: RunningGateway) -> bool:
    return status_of(gateway.port, "/livez") is not None


def ends(gateway: RunningGateway) -> dict[str, list[str]]:
    """What the log says of each call that was begun: the kinds of its entries."""
    listed = gateway.json("log", "list", "--limit", "100000")["entries"]
    begun = [entry["id"] for entry in listed if entry["kind"] == "intent"]
    return {call: [entry["kind"] for entry in listed if entry["id"] == call] for call in begun}


def retried(gateway: RunningGateway) -> str:
    with ModernClient(gateway) as client:
        told: str = outcome(client.call("count__slow_effect", {"key": "slow"}, key="slow"))["outcome"]
        return told


def test_an_effect_that_is_answered_during_the_stop_is_recorded(tmp_path: Path, effects: tuple[str, Path]) -> None:
    gateway, _ = terminated_in_an_effect(tmp_path, effects, deadline=20, answers=True)
    with_outcome = ends(gateway)
    assert list(with_outcome.values()) == [["intent", "outcome"]]
    assert retried(gateway) == "replayed"
    assert effects[1].read_text() == "slow\n"
    assert gateway.run("log", "verify").returncode == 0
    assert gateway.stop() == 0


@pytest.mark.parametrize("deadline", [2, 8])
def test_an_effect_that_is_not_answered_before_the_end_is_in_doubt(
    tmp_path: Path, effects: tuple[str, Path], deadline: float
) -> None:
    gateway, slow = terminated_in_an_effect(tmp_path, effects, deadline=deadline, answers=False)
    assert list(ends(gateway).values()) == [["intent", "in_doubt"]]
    assert slow.answer is None or outcome(slow.answer)["outcome"] == "in_doubt"
    assert retried(gateway) == "in_doubt"
    assert effects[1].read_text() == "slow\n"
    assert gateway.run("log", "verify").returncode == 0
    assert gateway.stop() == 0
