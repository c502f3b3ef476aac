"""A `sealgate serve` in front of one suite, as its operator would run it: own keys, callers with tokens, one approver."""

import hashlib
import json
import secrets
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from types import TracebackType
from typing import Any

from ruamel.yaml import YAML

from bench.command import sealgate, wait_until_up
from bench.processes import REPOSITORY, free_port
from gateway.adapters.keys import make_approver_key, make_keys, write_private_text

HERE = Path(__file__).resolve().parent
TENANT = "bench"
START_SECONDS = 60
STOP_SECONDS = 20


class Setting(StrEnum):
    """What stands between the agent and the tools."""

    CONTROL = "control"
    DEFAULT = "default"
    ORACLE = "oracle"
    INTENT = "intent"


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator wrote of one suite's tools, read back."""

    suite: str
    reads: frozenset[str]
    trusted: frozenset[str]

    @classmethod
    def of(cls, suite: str, tools: Sequence[str]) -> "Rules":
        """The first rule that matches a tool counts, as in the gateway."""
        rules = operator_rules(suite)
        found = {name: next(rule for rule in rules if _matches(f"{suite}__{name}", rule["match"])) for name in tools}
        reads = frozenset(name for name, rule in found.items() if rule["mode"] == "read_only")
        trusted = frozenset(name for name, rule in found.items() if rule.get("trust") == "trusted")
        return cls(suite, reads, trusted)


def operator_rules(suite: str) -> list[dict[str, Any]]:
    """The `tools` block of the suite's operator."""
    rules: list[dict[str, Any]] = YAML(typ="safe").load(HERE / "operator" / f"{suite}.yaml")["tools"]
    return rules


def _matches(capability: str, globs: str | list[str]) -> bool:
    return any(fnmatchcase(capability, glob) for glob in ([globs] if isinstance(globs, str) else globs))


class Deployment:
    """A running gateway. `callers`: how many different users it knows; each has a token and the same agent acting for it."""

    def __init__(self, folder: Path, suite: str, setting: Setting, *, upstream: int, callers: int) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.state = folder / "state"
        self.port = free_port()
        self.tokens = [secrets.token_urlsafe(24) for _ in range(callers)]
        approver = folder.with_name("approver")  # not where the gateway could take it: it would refuse to start
        approver.mkdir()
        self.approver_key = approver / "approver.pem"
        self.approver_passphrase = approver / "approver.pass"
        self._log = folder / "gateway.log"
        passphrase = secrets.token_urlsafe(24)
        write_private_text(self.approver_passphrase, passphrase)
        public = make_approver_key(self.approver_key, "user:oracle", passphrase.encode())
        make_keys(self.state / "keys", origin=f"sealgate.local/{TENANT}", dev=False)
        config = {
            "state": str(self.state),
            "tenant": TENANT,
            "mcpServers": {suite: {"url": f"http://127.0.0.1:{upstream}/mcp"}},
            "tools": operator_rules(suite),
            "policy": {"path": str(_policies(folder, setting))},
            "approvers": [{"principal": "user:oracle", "public_key": public}],
            "callers": [
                {
                    "principal": f"user:u{number}",
                    "actors": ["agent:assistant"],
                    "token_sha256": hashlib.sha256(token.encode()).hexdigest(),
                }
                for number, token in enumerate(self.tokens)
            ],
        }
        path = folder / "gateway.yaml"
        path.write_text(json.dumps(config))  # JSON is YAML
        command = [sys.executable, "-m", "gateway", "serve", "--config", str(path), "--port", str(self.port)]
        with self._log.open("wb") as said:
            self._process = subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=said, stderr=said)

    def __enter__(self) -> "Deployment":
        try:
            wait_until_up(self.state, self._check, START_SECONDS)
            sealgate(self.state, "tools", "approve", "--all", "--yes")
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()

    def verify_log(self) -> str:
        """What `sealgate log verify` says. Raises `RuntimeError` where the log is wrong."""
        return sealgate(self.state, "log", "verify")

    def _check(self) -> None:
        if self._process.poll() is not None:
            raise RuntimeError(f"the gateway is not up:\n{self._log.read_text()[-2000:]}")

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _policies(folder: Path, setting: Setting) -> Path:
    """The policies that come along, with the operator's settings; for the control run a policy that allows everything."""
    path = folder / "policies"
    if setting is Setting.CONTROL:
        shutil.copytree(HERE / "allow_all", path)
        return path
    shutil.copytree(REPOSITORY / "policies", path)
    data = path / "data.json"
    document = json.loads(data.read_text())
    document["sealgate"]["settings"].update(json.loads((HERE / "operator" / "settings.json").read_text()))
    data.write_text(json.dumps(document))
    return path
