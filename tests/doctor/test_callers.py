"""`sealgate doctor` on who may call: issuers, API keys, the socket for local processes."""

import json
from pathlib import Path

from gateway.cli.client_files import this_machine
from gateway.doctor import Deployment, Finding, Level, callers, examine
from tests.access.issuer import EC, issuing, jwk
from tests.connect.world import Home
from tests.doctor.conftest import config_text, repair
from tests.running import run_cli

OAUTH = """\
auth:
  oauth:
    resource: https://gateway.example.com/mcp
    issuers: [{{issuer: {issuer}, algorithms: [{algorithms}], scopes: {{tools.call: [agent]}}}}]
"""


def found() -> list[Finding]:
    """What is found of callers in the current folder."""
    return list(callers.look(Deployment.found(None, None, this_machine())))


def test_without_issuers_and_keys_there_is_nothing_to_tell(home: Home) -> None:
    home.config.write_text(config_text())
    assert found() == []


def test_an_issuer_is_asked_for_its_keys(home: Home) -> None:
    with issuing() as issuer:
        home.config.write_text(config_text() + OAUTH.format(issuer=issuer.url, algorithms="RS256, ES256"))
        (well,) = found()
        assert (well.level, well.what) == (Level.OK, f"{issuer.url} has keys for RS256, ES256")
        issuer.documents["/keys"] = (503, b"")
        (gone,) = found()
        assert (gone.level, "answers 503" in gone.what, issuer.url in gone.fix) == (Level.FAIL, True, True)
        issuer.documents["/keys"] = (200, json.dumps({"keys": [jwk(EC, "ec")]}).encode())
        home.config.write_text(config_text() + OAUTH.format(issuer=issuer.url, algorithms="RS256"))
        (other,) = found()
        assert (other.level, other.fix) == (Level.FAIL, "Allow one of: ES256")


def test_keys_that_end_soon_are_told_with_what_makes_another_like_them(stopped: Home) -> None:
    state = stopped.folder / ".sealgate"
    for expires in ("400d", "3d"):
        arguments = ("--principal", "service:billing", "--actor", "agent:a", "--role", "auditor", "--expires", expires)
        assert run_cli("keys", "api", "new", *arguments, state=state).code == 0
    ending, counted = found()
    assert (ending.level, counted.what) == (Level.WARN, "2 of 2 API keys are valid")
    assert "of service:billing ends at 2" in ending.what
    repair(ending.fix)
    third = json.loads(run_cli("keys", "api", "list", "--json", state=state).stdout)["keys"][2]
    assert (third["principal"], third["actors"], third["roles"]) == ("service:billing", ["agent:a"], ["auditor"])


def test_keys_that_cannot_be_read_and_a_socket_that_cannot_be_are_told(home: Home) -> None:
    home.config.write_text(
        config_text().replace("listen: {", "listen: {unix: nowhere/p.sock, peers: [{uid: 1000, principal: 'service:x'}], ")
    )
    (socket,) = found()
    assert (socket.level, Path("nowhere").name in socket.what) == (Level.FAIL, True)
    state = home.folder / ".sealgate"
    state.mkdir(mode=0o700)
    (state / "api_keys.json").write_text("[]")
    (state / "api_keys.json").chmod(0o600)
    told = [one for one in examine(Deployment.found(None, None, this_machine())) if one.about == "callers"]
    assert (told[-1].level, "holds no API keys" in told[-1].what) == (Level.FAIL, True)
