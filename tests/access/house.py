"""A production gateway that lets in callers of every kind, before a tool server that tells which headers reached it."""

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.adapters.keys import make_keys
from tests.access.issuer import OTHER_EC, Issuer, issuing, jwk
from tests.edge.box import Box
from tests.edge.clients import ENVELOPE, Answer, send
from tests.running import RunningGateway
from tests.upstream.world import serving

CONFIG = """
tenant: example
mcpServers:
  box: {{command: "{python}", args: ["-m", "tests.edge.upstream", "{folder}/box"]}}
  web: {{type: http, url: "http://127.0.0.1:{web}/mcp"}}
upstreams:
  box: {{deadline_seconds: 20}}
tools:
  - {{match: [box__echo, box__slow_read, web__headers], mode: read_only, trust: trusted}}
  - {{match: [box__add_row, box__slow_write], mode: local_write, trust: trusted}}
  - {{match: box__act, mode: delegated, trust: trusted}}
approvers:
  - {{principal: "user:corp|alice", public_key: "lF0DWjKSW7HHG1FIVgdYoiJrLt3X4CidVbchiWRv/Cs="}}
listen:
  unix: peers.sock
  peers: [{{uid: {uid}, principal: "service:sidecar", tools: [box__echo], exposure: search}}]
callers:
  - {{principal: "user:bob", token_sha256: {bob}}}
  - principal: "user:few"
    token_sha256: {few}
    limits: {{requests_per_minute: 3}}
  - principal: "user:one"
    token_sha256: {one}
    limits: {{concurrent: 1}}
  - principal: "user:today"
    token_sha256: {today}
    limits: {{calls_per_day: 2}}
auth:
  oauth:
    resource: {resource}
    issuers:
      - issuer: {issuer}
        principal_prefix: "user:corp|"
        scopes: {{tools.call: [agent], log.read: [auditor]}}
        delegations: {{box.act: [box__act]}}
        required_claims: {{tid: example}}
      - issuer: {other}
        principal_prefix: "user:partner|"
        algorithms: [ES256]
        scopes: {{tools.call: [agent]}}
        tools: [box__echo]
"""


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


class ServingGateway(RunningGateway):
    """`sealgate serve`, with a configured token in the place of that of development."""

    @property
    def token(self) -> str:
        return "bob-token"


@dataclass
class House:
    """The gateway and the issuers it trusts: one with all algorithms and a tenant, one with ES256 only."""

    box: Box
    issuer: Issuer
    other: Issuer

    @property
    def gateway(self) -> RunningGateway:
        return self.box.gateway

    @property
    def resource(self) -> str:
        """What tokens are issued for."""
        return self.gateway.url

    @property
    def metadata(self) -> str:
        """Where a client is sent that has no token."""
        return f"http://127.0.0.1:{self.gateway.port}/.well-known/oauth-protected-resource/mcp"

    def token(self, **more: Any) -> str:
        """A token of the first issuer that is fine but for what is changed."""
        return self.issuer.token(more.pop("audience", self.resource), **{"tid": "example", **more})

    def call(self, token: str | None, tool: str = "box__echo", *, source: str = "127.0.0.1", **arguments: Any) -> Answer:
        """One tools/call with a token."""
        params = {"name": tool, "arguments": arguments or {"text": "x"}, "_meta": ENVELOPE}
        body = json.dumps({"jsonrpc": "2.0", "id": "c", "method": "tools/call", "params": params}).encode()
        told = None if token is None else f"Bearer {token}"
        return send(self.gateway, body, {"Authorization": told, "Mcp-Name": tool}, source=source)

    def chain(self, answer: Answer) -> list[str]:
        """Who the entry of a call says made it."""
        found: list[str] = self.run(answer)["principal_chain"]
        return found

    def run(self, answer: Answer) -> Mapping[str, Any]:
        """What the entry of a call says of its caller and run."""
        receipt = answer.json()["result"]["_meta"]["dev.sealgate/receipt"]
        found: Mapping[str, Any] = self.box.entry(receipt).predicate["run"]
        return found

    def make_key(self, *arguments: str) -> tuple[str, str]:
        """Id and text of a new API key."""
        made = self.box.json("keys", "api", "new", *arguments)
        return made["id"], made["key"]


@contextmanager
def built(folder: Path) -> Iterator[House]:
    """The gateway with its tools approved."""
    (folder / "box").mkdir()
    gateway = ServingGateway(folder, verb="serve")
    make_keys(gateway.state / "keys", origin="sealgate.local/example", dev=False)
    with serving("raw_http.py") as web, issuing() as issuer, issuing() as other:
        other.keys = [jwk(OTHER_EC, "ec")]
        gateway.configure(
            CONFIG.format(
                python=sys.executable,
                folder=folder,
                web=web,
                uid=os.getuid(),
                resource=gateway.url,
                issuer=issuer.url,
                other=other.url,
                **{name: _sha256(f"{name}-token") for name in ("bob", "few", "one", "today")},
            )
        )
        with gateway:
            box = Box(gateway, folder / "box")
            said = box.run("tools", "approve", "--all", "--yes")
            assert said.code == 0, said
            yield House(box, issuer, other)
            box.assert_sound()
