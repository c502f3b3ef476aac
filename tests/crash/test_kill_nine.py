"""kill -9 in the middle of calls, again and again: nothing acknowledged is lost, nothing happens twice."""

import random
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.running import ModernClient, RunningGateway, outcome, until

KILLS = 20
CALLERS = 6
SEED = 20261122


class Callers:
    """Threads that call with keys of their own until the gateway is gone, and note what they were told."""

    def __init__(self, gateway: RunningGateway, round_number: int) -> None:
        self.sent: list[str] = []
        self.acknowledged: dict[str, dict[str, Any]] = {}
        self._gateway = gateway
        self._token = gateway.token
        self._threads = [
            threading.Thread(target=self._call, args=(f"{round_number}-{caller}",)) for caller in range(CALLERS)
        ]
        for thread in self._threads:
            thread.start()

    def _call(self, name: str) -> None:
        with ModernClient(self._gateway, token=self._token) as client:
            for number in range(100_000):
                key = f"{name}-{number}"
                self.sent.append(key)
                try:
                    self.acknowledged[key] = client.call("count__effect", {"key": key}, key=key)
                except (httpx2.TransportError, ValueError):  # cut off, also in the middle of an answer
                    return

    def join(self) -> None:
        for thread in self._threads:
            thread.join(timeout=30)
            assert not thread.is_alive()


@pytest.mark.long
@pytest.mark.timeout(300)
def test_after_twenty_kills_no_acknowledged_call_is_missing_and_no_effect_happened_twice(
    tmp_path: Path, effects: tuple[str, Path]
) -> None:
    url, counted = effects
    dice = random.Random(SEED)
    gateway = RunningGateway(tmp_path)
    gateway.configure(
        f"mcpServers: {{count: {{url: {url}}}}}\n"
        "upstreams: {count: {deadline_seconds: 5, breaker_failures: 0}}\n"
        "tools: [{match: count__effect, mode: local_write, trust: trusted, owner: test}]\n"
    )
    gateway.start()
    gateway.approve_tools()
    sent: list[str] = []
    acknowledged: dict[str, dict[str, Any]] = {}
    for round_number in range(KILLS):
        callers = Callers(gateway, round_number)
        until(lambda callers=callers: callers.acknowledged, what="the first acknowledged call")  # type: ignore[misc]
        time.sleep(dice.uniform(0.0, 0.15))  # not a wait for anything: where in a call the kill falls is left to chance
        gateway.kill()
        callers.join()
        sent += callers.sent
        acknowledged |= callers.acknowledged
        gateway.start()

    told = {key: outcome(answer)["outcome"] for key, answer in acknowledged.items()}
    assert set(told.values()) == {"completed"}
    log = gateway.json("log", "list", "--limit", "1000000")["entries"]
    ends = {entry["id"] for entry in log if entry["kind"] == "outcome"}
    doubts = {entry["id"] for entry in log if entry["kind"] == "in_doubt"}
    intents = {entry["id"] for entry in log if entry["kind"] == "intent"}
    receipts = {answer["result"]["_meta"]["dev.sealgate/receipt"]["envelope_id"] for answer in acknowledged.values()}
    assert receipts <= ends, "an acknowledged call has no outcome in the log"
    assert intents == (ends | doubts), "a started call has neither an outcome nor a doubt"
    assert doubts, "no kill ever fell into a call: the test proves nothing"

    happened = Counter(counted.read_text().split())
    assert set(happened.values()) == {1}, "an effect happened twice"
    assert acknowledged.keys() <= happened.keys()

    unanswered = [key for key in sent if key not in acknowledged]
    with ModernClient(gateway) as client:
        retried = Counter(outcome(client.call("count__effect", {"key": key}, key=key))["outcome"] for key in unanswered)
        again = Counter(outcome(client.call("count__effect", {"key": key}, key=key))["outcome"] for key in told)
    assert retried["in_doubt"] == len(doubts), retried
    assert again == {"replayed": len(told)}
    assert max(Counter(counted.read_text().split()).values()) == 1, "a retry made an effect happen twice"

    verified = gateway.run("log", "verify")
    assert verified.stdout.startswith("OK: ")
    assert gateway.stop() == 0
    print(f"{KILLS} kills: {len(acknowledged)} acknowledged, {len(unanswered)} cut off: {dict(retried)}")
