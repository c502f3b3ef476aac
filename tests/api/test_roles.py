"""Who may use what of `/api/v1`: the same table is served, documented and asked for here, and no route is without one."""

from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette

from gateway.core.run_context import Principal, PrincipalKind
from gateway.edge import api_told as told
from gateway.edge.api import Api, Below, RemoteApi
from gateway.edge.api_route import READING, ApiRole, ApiRoute, Asked, For, Nothing, SocketOnly
from gateway.edge.auth import Caller, Credentials, TokenTable, token_digest
from gateway.edge.door import Door
from gateway.edge.open_requests import OpenRequests
from gateway.settings.people import Role
from tests.api.office import ROLES, Office

READERS, EVERYONE = {"auditor", "admin"}, {"auditor", "approver", "admin"}
TABLE = {
    ("GET", "/api/v1/status"): READERS,
    ("GET", "/api/v1/keys"): READERS,
    ("POST", "/api/v1/keys/{id}/revoke"): {"admin"},
    ("GET", "/api/v1/log/keys"): READERS,
    ("GET", "/api/v1/tools"): READERS,
    ("GET", "/api/v1/tool"): READERS,
    ("POST", "/api/v1/tools/approve"): {"admin"},
    ("GET", "/api/v1/approvers"): EVERYONE,
    ("GET", "/api/v1/approvals"): EVERYONE,
    ("GET", "/api/v1/approvals/{id}"): {"approver"},
    ("POST", "/api/v1/approvals/{id}/answer"): {"approver"},
    ("POST", "/api/v1/approvals/{id}/modify"): {"approver"},
    ("POST", "/api/v1/approvals/{id}/revoke"): {"admin"},
    ("GET", "/api/v1/runs/in-doubt"): READERS,
    ("POST", "/api/v1/runs/{id}/resolve"): {"admin"},
    ("POST", "/api/v1/runs/{id}/reconcile"): {"admin"},
    ("POST", "/api/v1/policy/reload"): {"admin"},
    ("POST", "/api/v1/policy/rollback"): {"admin"},
    ("GET", "/api/v1/policy/history"): READERS,
    ("GET", "/api/v1/policy/shadow"): READERS,
    ("GET", "/api/v1/log/head"): READERS,
    ("GET", "/api/v1/log/entries"): READERS,
    ("GET", "/api/v1/log/checkpoints"): READERS,
    ("GET", "/api/v1/log/anchored"): READERS,
    ("GET", "/api/v1/log/checkpoint"): READERS,
    ("GET", "/api/v1/log/tile"): READERS,
}
NEVER_REMOTE = (
    ("GET", "/api/v1/calls/some-call/values"),
    ("POST", "/api/v1/erasures"),
    ("POST", "/api/v1/keys/new"),
    ("GET", "/api/v1/policy/source"),
    ("GET", "/api/v1/policy/inputs"),
    ("GET", "/api/v1/policy/inputs/some-call"),
)


def body_of(method: str) -> dict[str, Any] | None:
    return {} if method == "POST" else None


def test_the_document_names_the_roles_of_every_operation(office: Office) -> None:
    document = office.get("/api/v1/openapi.json", "agent")
    named = {
        (method.upper(), path): set(operation["x-sealgate-roles"])
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    assert named == {**TABLE, ("GET", "/api/v1/openapi.json"): set()}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_gets_what_is_its_own_and_nothing_else(office: Office, role: str) -> None:
    for (method, path), roles in TABLE.items():
        asked = path.replace("{id}", "no-such-id")
        answer = office.ask(method, asked, role, body={"no": "such"} if method == "POST" else None)
        if role in roles:
            assert answer.status_code in (200, 404, 422), (method, path, answer.text)
        else:
            assert answer.status_code == 403, (method, path, answer.text)
            assert answer.json()["error"]["code"] == "role.missing"
            assert answer.json()["error"]["message"] == f"This needs the role {' or '.join(sorted(roles))}."


@pytest.mark.parametrize(("method", "path"), NEVER_REMOTE)
@pytest.mark.parametrize("role", ROLES)
def test_what_shows_or_destroys_values_or_makes_keys_is_not_there_over_the_network(
    office: Office, role: str, method: str, path: str
) -> None:
    assert office.refusal(method, path, role, body=body_of(method)) == (403, "request.local_only")


@pytest.mark.parametrize("role", [None, "stranger"])
def test_without_a_token_nobody_learns_what_is_there(office: Office, role: str | None) -> None:
    for method, path in (
        ("GET", "/api/v1/openapi.json"),
        ("POST", "/api/v1/tools/approve"),
        ("PUT", "/api/v1/tools"),
        ("GET", "/api/v1/nothing"),
        ("GET", "/api/v1"),
        ("GET", "/api/v1/a%0Ab"),
    ):
        answer = office.ask(method, path, role, body=body_of(method))
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "login.needed")
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.json()["error"]["exit_code"] == 3


def test_another_host_and_a_page_of_another_origin_are_refused(office: Office) -> None:
    for role in ("admin", None):
        assert office.refusal("GET", "/api/v1/status", role, Host="evil.example") == (421, "request.host")
        assert office.refusal("GET", "/api/v1/status", role, Origin="http://evil.example") == (403, "request.origin")


def test_a_form_of_a_web_page_changes_nothing(office: Office) -> None:
    """It needs no leave of the browser to be sent, unlike JSON; and a browser sends no token by itself."""
    form = {"Content-Type": "text/plain", "Origin": office.url}
    assert office.refusal("POST", "/api/v1/policy/reload", body=b"{}", **form) == (415, "request.media_type")


async def _stub(asked: Asked[Nothing, Nothing]) -> dict[str, Any]:
    return {}


def test_a_route_that_does_not_say_who_may_use_it_cannot_be_made() -> None:
    for roles in (frozenset(), frozenset({"agent"}), frozenset({"admin"})):
        with pytest.raises(ValueError, match="name the roles"):
            For(roles)  # type: ignore[arg-type]
    parts = ("a route", Nothing, Nothing, told.Keys, _stub)
    with pytest.raises(TypeError, match="say who may use it"):
        ApiRoute("GET", "/api/v1/new", None, *parts)  # type: ignore[arg-type]
    route = ApiRoute("GET", "/api/v1/new", READING, *parts)
    with pytest.raises(ValueError, match="is there twice"):
        Api([route, route])
    with pytest.raises(ValueError, match="by another"):
        Api([route, ApiRoute("POST", "/api/v1/new", SocketOnly("why"), *parts)])


def test_the_roles_are_those_of_the_configuration_but_for_the_agents() -> None:
    assert {role.value for role in ApiRole} == {role.value for role in Role} - {"agent"}


def test_a_caller_of_another_tenant_is_refused(tmp_path: Path) -> None:
    """Every caller of a gateway.yaml is of its one tenant: here the door lets in one of another."""
    api = Api([ApiRoute("GET", "/api/v1/keys", READING, "keys", Nothing, Nothing, told.Keys, _stub)])
    callers = {
        token_digest(tenant): Caller(tenant, Principal(PrincipalKind.USER, "ann"), (), frozenset({"admin"}))
        for tenant in ("ours", "theirs")
    }
    security = TransportSecuritySettings(enable_dns_rebinding_protection=True, allowed_hosts=["gateway"])
    remote = RemoteApi(api, Door(Credentials(TokenTable(callers)), security), "ours", OpenRequests())
    app = Starlette(routes=[Below("/api/v1", remote)])

    async def ask(tenant: str) -> int:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://gateway") as client:
            return (await client.get("/api/v1/keys", headers={"Authorization": f"Bearer {tenant}"})).status_code

    assert (anyio.run(ask, "ours"), anyio.run(ask, "theirs")) == (200, 403)
