"""A disk that fills up while effects run: what happened is in the log or in doubt, and happened once."""

import resource
from collections import Counter
from pathlib import Path

import httpx2
import pytest

from tests.running import ModernClient, RunningGateway, outcome, until

CONFIG = """
mcpServers: {{count: {{url: {url}}}}}
tools: [{{match: count__effect, mode: local_write, trust: trusted, owner: test}}]
"""
LIMIT_BYTES = 1 << 20
CALLS = 2000


def _small_disk() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, LIMIT_BYTES))


@pytest.mark.long
@pytest.mark.timeout(180)
def test_no_effect_is_lost_or_happens_twice_when_the_disk_is_full(tmp_path: Path, effects: tuple[str, Path]) -> None:
    url, counted = effects
    gateway = RunningGateway(tmp_path)
    gateway.configure(CONFIG.format(url=url))
    gateway.start()
    gateway.approve_tools()
    gateway.stop()

    gateway.start(preexec=_small_disk)
    process = gateway.process
    assert process is not None
    acknowledged: dict[str, str] = {}
    refused = ""
    with ModernClient(gateway) as client:
        for key in (f"key-{number}" for number in range(CALLS)):
            try:
                answer = client.call("count__effect", {"key": key}, key=key)
            except (httpx2.TransportError, ValueError):
                refused = key
            else:
                refused = key if "error" in answer else ""
            if refused:
                break
            acknowledged[key] = answer["result"]["_meta"]["dev.sealgate/receipt"]["envelope_id"]
    assert refused, f"{CALLS} effects fitted into {LIMIT_BYTES} bytes"
    assert until(lambda: process.poll() is not None, what="the end of the process")
    assert process.returncode == 1

    happened = Counter(counted.read_text().split())
    assert set(happened.values()) == {1}
    assert acknowledged.keys() <= happened.keys() <= {*acknowledged, refused}
    gateway.start()
    entries = gateway.json("log", "list", "--limit", "1000000")["entries"]
    ids = {kind: {entry["id"] for entry in entries if entry["kind"] == kind} for kind in ("intent", "outcome", "in_doubt")}
    assert set(acknowledged.values()) <= ids["outcome"]
    assert ids["intent"] == ids["outcome"] | ids["in_doubt"]
    with ModernClient(gateway) as client:
        told = outcome(client.call("count__effect", {"key": refused}, key=refused))["outcome"]
    assert told == ("in_doubt" if ids["in_doubt"] else "replayed" if refused in happened else "completed")
    assert set(Counter(counted.read_text().split()).values()) == {1}
    assert gateway.run("log", "verify").stdout.startswith("OK: ")
    assert gateway.stop() == 0
