"""A gateway with a caller for each role, and what its API says to each of them, with no client of ours in between."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from gateway.adapters.keys import make_keys
from gateway.adapters.policy.bundle import default_policies
from gateway.edge.auth import token_digest
from tests.approvals.people import Person
from tests.edge.box import Box, configured
from tests.running import NO_AUTHORITIES, RunningGateway, Said, free_port, run_cli

ROLES = ("agent", "auditor", "approver", "admin")
LEDGER_TOOLS = """
  - {match: [ledger__status], mode: read_only, trust: trusted}
  - {match: [ledger__pay], mode: local_write, trust: trusted, reconcile: ledger__status}
"""


class OfficeGateway(RunningGateway):
    """`sealgate serve`; its agent's token in the place of a development token."""

    @property
    def token(self) -> str:
        return "agent-token"


@dataclass
class Office:
    """The gateway, and its box. Tokens are `ROLE-token`. `tls_port`: that of a proxy, whose Host the gateway answers to."""

    box: Box
    alice: Person
    tls_port: int

    @property
    def gateway(self) -> RunningGateway:
        return self.box.gateway

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.gateway.port}"

    def ask(
        self, method: str, path: str, role: str | None = "admin", *, body: Any = None, **headers: str
    ) -> httpx2.Response:
        """A request with the token of a role; `body` is sent as JSON, or as it is where it is bytes."""
        sent: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body}
        content = {} if body is None else sent
        own = {} if role is None else {"Authorization": f"Bearer {role}-token"}
        if isinstance(body, bytes):
            own["Content-Type"] = "application/json"
        return httpx2.request(
            method, self.url + path, headers={**own, **headers}, timeout=20, verify=NO_AUTHORITIES, **content
        )

    def get(self, path: str, role: str | None = "admin") -> Any:
        """The document there."""
        answer = self.ask("GET", path, role)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any, role: str = "admin") -> Any:
        """What comes of it."""
        answer = self.ask("POST", path, role, body=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refusal(self, method: str, path: str, role: str | None = "admin", **more: Any) -> tuple[int, str]:
        """Status and code of a refusal, which has the one shape."""
        answer = self.ask(method, path, role, **more)
        told = answer.json()["error"]
        assert set(told) == {"code", "message", "hint", "exit_code"}, told
        assert answer.headers["content-type"] == "application/json"
        return answer.status_code, told["code"]

    def run(self, role: str, *arguments: str, stdin: str = "") -> Said:
        """A `sealgate` command that asks this gateway over HTTP, with the token of a role."""
        return run_cli(*arguments, environment={"SEALGATE_URL": self.url, "SEALGATE_TOKEN": f"{role}-token"}, stdin=stdin)


@contextmanager
def office_in(folder: Path, alice: Person) -> Iterator[Office]:
    """A running one, whose tools an admin approved over HTTP; at the end it must not have stumbled, its log must verify."""
    (folder / "box").mkdir()
    (folder / "ledger").mkdir()
    (folder / "ledger" / "rows").touch()
    shutil.copytree(default_policies(), folder / "policies")
    callers = "".join(
        f'  - {{principal: "user:{role}", roles: [{role}], token_sha256: {token_digest(f"{role}-token")}}}\n'
        for role in ROLES
    )
    tls_port = free_port()
    policy = f"policy: {{path: {folder / 'policies'}, shadow: {folder / 'policies'}}}\n"
    listen = f'listen: {{allowed_hosts: ["localhost:{tls_port}"]}}\n'
    people = f"callers:\n{callers}approvers:\n{alice.listed()}"
    config = configured(folder / "box", f"{LEDGER_TOOLS}{policy}{listen}{people}")
    server = f'  ledger: {{command: "{sys.executable}", args: ["-m", "tests.edge.ledger", "{folder / "ledger"}"]}}\n'
    config = config.replace("upstreams:\n", f"{server}upstreams:\n  ledger: {{deadline_seconds: 1, breaker_failures: 0}}\n")
    gateway = OfficeGateway(folder, verb="serve")
    gateway.configure(config)
    make_keys(gateway.state / "keys", origin="sealgate.local/default", dev=False)
    with gateway:
        office = Office(Box(gateway, folder / "box"), alice, tls_port)
        said = office.run("admin", "tools", "approve", "--all", "--yes")
        assert said.code == 0, said
        yield office
        office.box.assert_sound()
