"""A whole gateway before an upstream with token exchange: whose name a call goes in, and where no secret is."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from gateway.adapters.keys import make_keys
from gateway.adapters.policy.bundle import default_policies
from tests.approvals.people import Person
from tests.credentials.authority import Authority, Recorder, serving
from tests.credentials.test_upstreams import BROKEN, pem, private
from tests.edge.box import Box
from tests.running import ModernClient, RunningGateway, outcome

CALLER, OTHER = "caller-token-of-ada-0123456789", "caller-token-of-bob-0123456789"

CONFIG = """
mcpServers:
  crm: {{url: "{url}/mcp"}}
upstreams:
  crm:
    credentials:
      kind: token_exchange
      token_url: {url}/token
      client_id: sealgate
      client_secret: file:client.secret
      issuer: https://gateway.example
      assertion_key: file:assertion.pem
tools:
  - {{match: crm__look, mode: read_only, trust: trusted}}
  - {{match: crm__act, mode: delegated, trust: trusted}}
policy: {{path: policies}}
callers:
  - principal: "user:ada"
    actors: ["agent:planner", "agent:helper"]
    token_sha256: {ada}
    delegation: {{scopes: [crm__act], expires_at: "2999-01-01T00:00:00Z"}}
  - {{principal: "user:bob", token_sha256: {bob}}}
approvers:
{approvers}"""


class ServingGateway(RunningGateway):
    @property
    def token(self) -> str:
        return CALLER


@dataclass
class Place:
    """All that takes part, and the secrets that are nowhere to be found."""

    box: Box
    ada: Person
    authority: Authority
    recorder: Recorder
    secrets: list[str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("credentials")
    ada = Person.make(tmp_path_factory.mktemp("ada"), "user:ada")
    shutil.copytree(default_policies(), folder / "policies")
    data = json.loads((folder / "policies" / "data.json").read_text())
    data["sealgate"]["settings"]["delegated_evidence"] = 0
    (folder / "policies" / "data.json").write_text(json.dumps(data))
    key = ed25519.Ed25519PrivateKey.generate()
    with serving() as (authority, recorder):
        authority.subject_key = key.public_key()
        private(folder / "client.secret", authority.secret)
        private(folder / "assertion.pem", pem(key))
        gateway = ServingGateway(folder, verb="serve")
        ada_sha256, bob_sha256 = (hashlib.sha256(token.encode()).hexdigest() for token in (CALLER, OTHER))
        gateway.configure(CONFIG.format(url=authority.url, ada=ada_sha256, bob=bob_sha256, approvers=ada.listed()))
        make_keys(gateway.state / "keys", origin="sealgate.local/default", dev=False)
        with gateway:
            box = Box(gateway, folder)
            assert box.run("tools", "approve", "--all", "--yes").code == 0
            yield Place(box, ada, authority, recorder, [authority.secret, pem(key).splitlines()[1], CALLER, OTHER])
            box.assert_sound()


def call(place: Place, tool: str, token: str = CALLER, **arguments: Any) -> dict[str, Any]:
    with ModernClient(place.box.gateway, token=token) as client:
        return client.call(tool, arguments)


def test_a_delegated_call_carries_a_token_that_names_user_and_actors(place: Place) -> None:
    asked = outcome(call(place, "crm__act", text="buy"))
    assert asked["outcome"] == "awaiting_approval"
    said = place.ada.answers(place.box, "approve", asked["approval_id"])
    assert said.code == 0, said
    assert outcome(call(place, "crm__act", text="buy")) == {"outcome": "completed"}
    assert place.recorder.done.count("buy") == 1
    headers, told = place.recorder.calls()[-1]
    assert told["sub"] == "user:ada"
    assert told["act"] == {"sub": "agent:helper", "act": {"sub": "agent:planner"}}
    assert told["tenant"] == "default"
    assert headers["authorization"].startswith("Bearer tok_")


def test_what_a_caller_shows_reaches_no_upstream(place: Place) -> None:
    for token in (CALLER, OTHER):
        assert outcome(call(place, "crm__look", token, text="mine")) == {"outcome": "completed"}
    assert [told["sub"] for _, told in place.recorder.calls()][-2:] == ["user:ada", "user:bob"]
    sent = json.dumps([headers for _, headers, _ in place.recorder.seen]) + json.dumps(place.authority.asked)
    assert CALLER not in sent
    assert OTHER not in sent


def test_no_secret_and_no_token_is_in_log_output_status_or_configuration(place: Place) -> None:
    call(place, "crm__look", text="seen")
    place.authority.broken = BROKEN["error"]
    place.authority.living.clear()
    assert outcome(call(place, "crm__look", text="refused")) == {"outcome": "failed", "reasons": ["upstream.unauthorized"]}
    assert outcome(call(place, "crm__look", text="none")) == {"outcome": "denied", "reasons": ["upstream.no_credentials"]}
    place.authority.broken = None
    gateway = place.box.gateway
    told = gateway.output + str(place.box.entries())
    config = str(gateway.folder / "gateway.yaml")
    for command in (("status", "--json"), ("log", "list"), ("config", "show", config, "--effective")):
        told += gateway.run(*command, check=False).stdout
    files = [path for path in gateway.state.rglob("*") if path.is_file()]
    kept = b"".join(path.read_bytes() for path in files)
    assert "no token for upstream crm" in told
    assert "file:client.secret" in told
    for secret in (*place.secrets, "tok_"):
        assert secret not in told
        assert secret.encode() not in kept
