"""schemathesis, by others, at the HTTP API that the gateway describes itself in its OpenAPI document."""

import re
from pathlib import Path

import httpx2

from fuzz.environment import NotThere, tool
from fuzz.environment import run as run_tool
from fuzz.gateways import besieged
from fuzz.tally import Finding, Tally
from tests.running import NO_AUTHORITIES

DOCUMENT = "/api/v1/openapi.json"
SECONDS = 300
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
GENERATED = re.compile(r"(\d[\d,]*) generated")


def run(tally: Tally, folder: Path, runs: int) -> None:
    """Every operation of the document, with what fits its schemas and what does not. Raises `NotThere`."""
    program = tool("schemathesis")
    with besieged(folder) as box:
        base = f"http://127.0.0.1:{box.gateway.port}"
        headers = {"Authorization": f"Bearer {box.gateway.token}"}
        with httpx2.Client(verify=NO_AUTHORITIES, headers=headers) as client:
            found = client.get(base + DOCUMENT)
            if found.status_code == 404:
                raise NotThere(f"this gateway has no {DOCUMENT}")
            operations = sum(len(methods.keys() & METHODS) for methods in found.json()["paths"].values())
            tally.did["operations"] = operations
        command = [
            program,
            *("run", base + DOCUMENT, "--url", base, "--header", f"Authorization: {headers['Authorization']}"),
            *("--checks", CHECKS, "--max-examples", str(runs), "--seed", str(tally.seed), "--no-color"),
            *("--phases", "examples,coverage,fuzzing", "--workers", "1", "--suppress-health-check", "all"),
        ]
        done = run_tool(command, SECONDS, folder)
        generated = GENERATED.search(done.stdout)
        tally.did["requests"] = int(generated[1].replace(",", "")) if generated else 0
        tally.check(tally.did["requests"], f"nothing was tried: {done.stdout[-1000:]}")
        if done.returncode != 0:
            tally.find(Finding.OTHER, f"it ended with {done.returncode}: {_failures(done.stdout) or done.stderr[-500:]}")
        for fault in box.faults()[:3]:
            tally.find(Finding.CRASH, fault)


METHODS = {"get", "put", "post", "delete", "patch"}


def _failures(output: str) -> str:
    """Its account of what failed."""
    return output.partition("FAILURES")[2][:3000]
