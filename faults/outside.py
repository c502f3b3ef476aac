"""A whole gateway as its users have it: the `sealgate up` process, callers over HTTP, an upstream that counts effects."""

import contextlib
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from faults.audit import read_entries
from faults.inside import ReadLog, read_log
from faults.tally import Finding, Tally
from gateway.adapters.keys import load_keys
from gateway.adapters.store.sqlite.check import check_file
from gateway.core.errors import GatewayError
from tests.running import REPOSITORY, ModernClient, RunningGateway, free_port, outcome, until

EFFECT = "count__effect"
CONFIG = """\
mcpServers: {{count: {{url: "{url}"}}}}
upstreams: {{count: {{deadline_seconds: {deadline}, breaker_failures: 0}}}}
tools: [{{match: count__effect, mode: local_write, trust: trusted, owner: campaign}}]
policy: {{deadline_ms: 5000}}
"""


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where it listens, and the file that has a line for each effect."""

    port: int
    file: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def effects(self) -> Counter[str]:
        """How often each key's effect happened so far."""
        return Counter(self.file.read_text().split())


@contextlib.contextmanager
def counting_upstream(folder: Path) -> Iterator[Upstream]:
    """`tests/crash/counting_server.py` in a process of its own: it lives on when the gateway is killed."""
    upstream = Upstream(free_port(), folder / "effects")
    upstream.file.touch()
    server = REPOSITORY / "tests" / "crash" / "counting_server.py"
    with subprocess.Popen([sys.executable, str(server), str(upstream.port), str(upstream.file)]) as process:
        try:
            until(lambda: _answers(upstream.url), seconds=30, what="the counting upstream")
            yield upstream
        finally:
            process.kill()


def _answers(url: str) -> bool:
    try:
        httpx2.get(url, timeout=2)
    except httpx2.TransportError:
        return False
    return True


def new_gateway(folder: Path, url: str, *, deadline: float = 10.0) -> RunningGateway:
    """A gateway in front of the upstream at `url`, running, with its tool approved."""
    folder.mkdir(exist_ok=True)
    gateway = RunningGateway(folder)
    gateway.configure(CONFIG.format(url=url, deadline=deadline))
    start(gateway)
    until(lambda: EFFECT in gateway.cli("tools", "list", "--json").stdout, what="the upstream's tools")
    gateway.approve_tools()
    return gateway


def start(gateway: RunningGateway) -> None:
    """Start it and wait until it is ready; where the machine is busy with other things, in three tries.

    Raises `AssertionError` where it ended by itself.
    """
    for tries_left in (2, 1, 0):
        try:
            gateway.start()
        except AssertionError:
            if not tries_left or gateway.process is None or gateway.process.poll() is not None:
                raise
            gateway.kill()
        else:
            return


@dataclass(slots=True)
class Answers:
    """What was sent, and what came back: `told` by key, only where a whole answer arrived. Several threads add to it."""

    sent: list[str] = field(default_factory=list)
    told: dict[str, dict[str, Any]] = field(default_factory=dict)

    def ask(self, client: ModernClient, key: str) -> bool:
        """One call; False where the gateway is gone or can do no more."""
        self.sent.append(key)
        try:
            answer = client.call(EFFECT, {"key": key}, key=key)
        except (httpx2.TransportError, ValueError):  # cut off, perhaps in the middle of an answer
            return False
        if "error" in answer:
            return False
        self.told[key] = answer
        return True

    def unanswered(self) -> list[str]:
        """Keys that were sent and not answered, each once."""
        return [key for key in dict.fromkeys(self.sent) if key not in self.told]

    def completed(self) -> dict[str, dict[str, Any]]:
        """Keys that were answered with a result, with it."""
        return {key: answer for key, answer in self.told.items() if what(answer) in ("completed", "replayed")}


class Callers:
    """Threads that call with keys of their own, one call after the other, until the gateway is gone or they shall stop."""

    def __init__(self, gateway: RunningGateway, answers: Answers, names: list[str]) -> None:
        self._gateway = gateway
        self._answers = answers
        self._token = gateway.token
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(name,)) for name in names]
        for thread in self._threads:
            thread.start()

    def _call(self, name: str) -> None:
        with ModernClient(self._gateway, token=self._token) as client:
            number = 0
            while not self._stop.is_set() and self._answers.ask(client, f"{name}-{number}"):
                number += 1

    def alive(self) -> bool:
        """Whether one still calls."""
        return any(thread.is_alive() for thread in self._threads)

    def join(self) -> None:
        """Tell them to stop and wait."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=90)


def what(answer: dict[str, Any]) -> str:
    """The outcome an answer tells of, or `error`."""
    return "error" if "error" in answer else str(outcome(answer)["outcome"])


def content(answer: dict[str, Any]) -> bytes:
    """The result as bytes, without `_meta`, which has this call's own receipt."""
    return json.dumps({name: value for name, value in answer["result"].items() if name != "_meta"}).encode()


def read_state(gateway: RunningGateway) -> ReadLog:
    """The gateway's log, read from its file and verified. Raises `GatewayError`."""
    return read_log(gateway.state / "journal.db", load_keys(gateway.state / "keys"), [])


def audit_state(tally: Tally, where: str, gateway: RunningGateway, answers: Answers, upstream: Upstream) -> None:
    """The log verifies and has what was acknowledged; each begun call ended or is in doubt; no effect came twice.

    To be asked while no call is under way.
    """
    try:
        log = read_state(gateway)
    except GatewayError as error:
        tally.find(Finding.UNVERIFIABLE, f"{where}: {error}")
        return
    for problem in log.report.problems[:1]:
        tally.find(Finding.UNVERIFIABLE, f"{where}: {problem}")
    for problem in check_file(gateway.state / "journal.db", load_keys(gateway.state / "keys").trusted()).problems[:1]:
        tally.find(Finding.UNVERIFIABLE, f"{where}: {problem}")
    said = read_entries(log)
    for key, answer in answers.told.items():
        receipt = answer["result"]["_meta"]["dev.sealgate/receipt"]
        place = receipt["leaf_index"]
        if place >= len(said) or said[place] != (receipt["kind"], receipt["envelope_id"]):
            tally.find(Finding.LOST, f"{where}: the receipt of {key} names entry {place}, which is something else")
        elif log.entries[place].leaf.hex() != receipt["leaf_hash"]:
            tally.find(Finding.LOST, f"{where}: the receipt of {key} names another entry {place}")
    ids = {kind: {name for each, name in said if each == kind} for kind in ("intent", "outcome", "in_doubt")}
    tally.check(ids["intent"] <= ids["outcome"] | ids["in_doubt"], f"{where}: a begun call has no end")
    effects = upstream.effects()
    if len(effects) > len(ids["intent"]):
        tally.find(Finding.UNINTENDED, f"{where}: {len(effects)} effects, {len(ids['intent'])} intents")
    for key, count in effects.items():
        if count > 1:
            tally.find(Finding.DUPLICATE, f"{where}: {key} happened {count} times")
    for key in answers.completed():
        if key not in effects:
            tally.find(Finding.LOST, f"{where}: {key} was completed and never happened")


def retry(tally: Tally, where: str, gateway: RunningGateway, answers: Answers, upstream: Upstream, keys: list[str]) -> None:
    """Each call again: a completed one is replayed byte for byte, one that happened unseen is in doubt or replayed."""
    before = upstream.effects()
    with ModernClient(gateway) as client:
        for key in keys:
            answer = client.call(EFFECT, {"key": key}, key=key)
            told = what(answer)
            tally.did["calls retried"] += 1
            tally.did[f"retries {told}"] += 1
            first = answers.completed().get(key)
            if first is not None and (told != "replayed" or content(answer) != content(first)):
                tally.find(Finding.LOST, f"{where}: {key} was completed; again it is {told}")
            elif first is None and before[key] and told not in ("in_doubt", "replayed"):
                tally.find(Finding.UNINTENDED, f"{where}: {key} had happened; again it is {told}")
            if told != "error":
                answers.told.setdefault(key, answer)
