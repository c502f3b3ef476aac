"""The same as `differential`, through a live gateway: what a stdio and an HTTP upstream get is what policy saw.

The policy itself tells what it saw: it changes each call by adding the arguments, as it has them, as text. Both upstreams
write down the bytes that they get.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import rfc8785

from fuzz.mutate import arguments as spelled
from fuzz.oracle import plainly
from fuzz.readers import NodeReader, disagreement
from fuzz.tally import Finding, Tally
from gateway.core import wire
from tests.edge.frames import call
from tests.running import REPOSITORY, ModernClient, running

RECORDER = Path(__file__).with_name("recorder.py")
SEEN = "what policy saw"
CONFIG = """
mcpServers:
  lines: {{command: {python}, args: [{recorder}, stdio, {folder}/lines]}}
  web: {{url: "http://127.0.0.1:{port}/mcp"}}
policy: {{path: policy}}
tools: [{{match: "*", mode: read_only, trust: trusted}}]
"""
POLICY = f"""package sealgate.authz

import rego.v1

default decision := {{"effect": "deny", "reasons": [], "obligations": {{}}}}

allowed := {{"effect": "allow", "reasons": [{{"code": "fuzz.seen", "message": "Seen."}}]}}

told if input.resource.properties.tool != "take"

told if input.context.arguments["{SEEN}"]

decision := object.union(allowed, {{"obligations": {{}}}}) if told

decision := object.union(
	allowed,
	{{"obligations": {{"modify": {{"/{SEEN}": json.marshal(input.context.arguments)}}}}}},
) if not told
"""


def run(tally: Tally, folder: Path, count: int) -> None:
    """`count` documents that are forwarded, every other one over HTTP."""
    (folder / "policy").mkdir()
    (folder / "policy" / "authz.rego").write_text(POLICY)
    with _recording(folder / "web") as port:
        config = CONFIG.format(python=sys.executable, recorder=RECORDER, folder=folder, port=port)
        with running(folder, config) as gateway, ModernClient(gateway) as client:
            sent = {name: _sent(tally, client, name, (count + 1) // 2) for name in ("lines", "web")}
    with NodeReader() as node:
        for name, documents in sent.items():
            requests = (folder / name).read_bytes().splitlines()
            if len(requests) != len(documents):
                tally.find(Finding.OTHER, f"{name}: {len(documents)} calls completed, {len(requests)} forwarded")
                continue
            for request, node_read, document in zip(requests, node.arguments(requests), documents, strict=True):
                tally.did[f"documents forwarded over {name}"] += 1
                problem = _problem(request, node_read, document)
                if problem is not None:
                    tally.find(Finding.DISAGREEMENT, f"{name}: {problem}; sent was {document!r}")


def _sent(tally: Tally, client: ModernClient, name: str, count: int) -> list[bytes]:
    """The arguments of the calls that were completed, as they were sent."""
    rng = Random(f"{tally.seed}:relayed:{name}")
    done: list[bytes] = []
    while len(done) < count:
        sent = spelled(rng)
        frame = call(name=f'"{name}__take"').replace(b'{"text":"x"}', sent)
        document, problem = plainly(frame)
        if problem is None and (SEEN in sent.decode() or not isinstance(document["params"].get("arguments"), dict)):
            continue
        response = client.post(frame, {"Mcp-Method": "tools/call", "Mcp-Name": f"{name}__take"})
        result = response.json().get("result", {})
        outcome = result.get("_meta", {}).get("dev.sealgate/outcome", {}).get("outcome")
        if outcome == "completed":
            done.append(sent)
            if problem is not None:
                tally.find(Finding.TAKEN, f"{name}: forwarded, though {problem}: {sent!r}")
        else:
            tally.did["documents refused"] += 1
            if problem is None and outcome != "denied":  # a name too many, or numbers that have no canonical form
                tally.find(Finding.OTHER, f"{name}: {response.status_code} {response.text[:300]} to {sent!r}")
    return done


def _problem(request: bytes, node_read: bytes, sent: bytes) -> str | None:
    forwarded: dict[str, Any] = wire.parse(request)["params"]["arguments"]
    saw = json.loads(forwarded.pop(SEEN))
    if rfc8785.dumps(forwarded) != rfc8785.dumps(saw):
        return f"policy saw {saw!r}, forwarded is {forwarded!r}"
    if rfc8785.dumps(forwarded) != rfc8785.dumps(json.loads(sent)):
        return f"forwarded is {forwarded!r}"
    return disagreement(request, json.loads(request)["params"]["arguments"], node_read)


@contextmanager
def _recording(path: Path) -> Iterator[int]:
    """The HTTP recorder, on a port of its own."""
    command = [sys.executable, str(RECORDER), "http", str(path)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None:
                raise RuntimeError("a process was started without its pipes")
            yield int(process.stdout.readline())
        finally:
            process.kill()
