"""`mcp-fuzzer`, a fuzzer of MCP servers by others, at the gateway as its client sees it: over stdio, relayed to a daemon.

Its own verdict that a server took what it calls malformed is told and not counted: such a call fits the tool's schema.
"""

import json
import sys
from pathlib import Path
from typing import Any

from fuzz.environment import run as run_tool
from fuzz.environment import tool
from fuzz.tally import Finding, Tally
from tests.running import REPOSITORY, ModernClient, RunningGateway, outcome, running

SECONDS = 240
BROKEN = ("crashed", "anomaly", "exceptions")
CONFIG = """
mcpServers:
  notes: {{command: {python}, args: ["{notes}", "{folder}/notes"]}}
tools:
  - {{match: [notes__read_note, notes__list_notes], mode: read_only, trust: trusted}}
  - {{match: [notes__write_note, notes__append_note], mode: local_write, trust: trusted}}
  - {{match: notes__delete_note, mode: destructive}}
"""


def run(tally: Tally, folder: Path, runs: int) -> None:
    """Both of its phases, on every tool and every kind of message."""
    program = tool("mcp-fuzzer")
    config = CONFIG.format(python=sys.executable, notes=REPOSITORY / "examples" / "notes.py", folder=folder)
    with running(folder, config) as gateway:
        for mode in ("tools", "protocol"):
            _mode(tally, folder, program, mode, runs)
        _afterwards(tally, gateway)


def _mode(tally: Tally, folder: Path, program: str, mode: str, runs: int) -> None:
    out = folder / mode
    command = [
        program,
        *("--mode", mode, "--phase", "both", "--protocol-phase", "aggressive", "--protocol", "stdio"),
        *("--endpoint", f"{sys.executable} -m gateway serve --stdio --config {folder}/gateway.yaml"),
        *("--runs", str(runs), "--runs-per-type", str(runs), "--seed", str(tally.seed), "--timeout", "10"),
        *("--no-network", "--no-corpus", "--fs-root", str(folder / "files"), "--output-dir", str(out)),
        *("--spec-schema-version", "2025-11-25", "--fail-if-no-tools"),
    ]
    done = run_tool(command, SECONDS, folder)
    reports = sorted(out.rglob("*fuzzing_results.json"))
    if done.returncode != 0 or not reports:
        tally.find(Finding.OTHER, f"{mode}: it ended with {done.returncode}: {(done.stdout + done.stderr)[-500:]}")
        return
    data: dict[str, Any] = json.loads(reports[-1].read_text())["data"]
    tested = [*data["tools_tested"], *data["protocol_types_tested"]]
    tally.did[f"things tried in mode {mode}"] += len(tested)
    for thing in tested:
        tally.did["runs"] += thing["runs"]
        for broken in BROKEN:
            if thing.get("outcomes", {}).get(broken):
                tally.find(Finding.CRASH, f"{mode}: {thing['name']}: {thing['outcomes'][broken]} {broken}")
    if mode == "tools":
        taken = {thing["name"]: thing["outcomes"]["accepted_malformed"] for thing in tested}
        tally.notes.append(f"calls that were taken, and are malformed in its own view: {taken}")


def _afterwards(tally: Tally, gateway: RunningGateway) -> None:
    """The gateway is there, never stumbled, and serves a good client."""
    if gateway.process is None or gateway.process.poll() is not None:
        tally.find(Finding.CRASH, f"the gateway ended: {gateway.output[-1500:]}")
        return
    with ModernClient(gateway) as client:
        told = outcome(client.call("notes__list_notes", {}))
        tally.check(told["outcome"] == "completed", f"a good call was answered {told}")
    for line in gateway.output.splitlines():
        if "Traceback" in line or '"level": "error"' in line:
            tally.find(Finding.CRASH, line)
