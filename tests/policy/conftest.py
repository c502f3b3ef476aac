"""A real OPA server on a free loopback port, and the engines under test."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.policy.bundle import default_policies
from tests.running import free_port

START_SECONDS = 20.0


@pytest.fixture(scope="session")
def opa_binary() -> str:
    """The OPA to test against: OPA_BIN, or `opa` on PATH. REQUIRE_ALL=1 makes its absence a failure."""
    found = os.environ.get("OPA_BIN") or shutil.which("opa")
    if found is None:
        reason = "no OPA: set OPA_BIN or put opa on PATH"
        if os.environ.get("REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@dataclass(slots=True)
class OpaServer:
    """`opa run --server FOLDER` on one port, which it keeps when it is restarted.

    `flags` are more of its options; `told` is where it writes its own log, if anywhere.
    """

    binary: str
    folder: Path
    port: int
    flags: tuple[str | Path, ...] = ()
    told: Path | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns when it answers."""
        command = [self.binary, "run", "--server", "--addr", f"127.0.0.1:{self.port}"]
        command += ["--log-level", "error"] if self.told is None else []
        with (Path(os.devnull) if self.told is None else self.told).open("ab") as told:
            self.process = subprocess.Popen(
                [*command, *map(str, self.flags), str(self.folder)], stdin=subprocess.DEVNULL, stdout=told, stderr=told
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, "OPA ended at once"
            connection = HTTPConnection("127.0.0.1", self.port, timeout=1)
            try:
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                self.process.poll()
            finally:
                connection.close()
        raise AssertionError(f"OPA did not answer within {START_SECONDS} s")

    def post(self, path: str, document: Any) -> Any:
        """The JSON that it answers to a JSON document."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=START_SECONDS)
        try:
            connection.request("POST", path, json.dumps(document), {"Content-Type": "application/json"})
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def opa_server(opa_binary: str, policies_folder: Path) -> Iterator[OpaServer]:
    """A running server with the packaged policies in a folder of the test's own."""
    server = OpaServer(opa_binary, policies_folder, free_port())
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def policies_folder(tmp_path: Path) -> Path:
    """A copy of the packaged policies, with two hosts on the egress allow-list."""
    folder = tmp_path / "policies"
    shutil.copytree(default_policies(), folder)
    hosts = ["api.example.com", "cdn.example.com"]
    settings = {"egress_allow": hosts, "network_calls_per_minute": 60, "delegated_evidence": 1}
    (folder / "data.json").write_text(json.dumps({"sealgate": {"settings": settings}}))
    return folder
