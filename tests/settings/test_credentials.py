"""Credentials in the file: what they become, and each mistake with its place and remedy; a secret is never repeated."""

from pathlib import Path

import pytest

from gateway.adapters.upstream.credentials.spec import (
    ClientCredentialsSpec,
    ClientSpec,
    FromEnvironment,
    FromFile,
    FromKeyring,
    StaticSpec,
    TokenExchangeSpec,
)
from gateway.adapters.upstream.spec import HttpSpec, OpenApiSpec
from gateway.settings import load_settings
from tests.settings.conftest import Told, Write

SERVER = "mcpServers: {crm: {url: 'https://crm.example.com/mcp'}}\n"
OAUTH = "token_url: 'https://login.example.com/token', client_id: gw"


def credentials(keys: str) -> str:
    return f"upstreams: {{crm: {{credentials: {{{keys}}}}}}}\n"


def test_each_kind_becomes_its_own(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM", "the secret itself")

    def spec(keys: str) -> object:
        (one,) = load_settings(write(credentials(keys) + SERVER)).upstream_specs()
        assert isinstance(one, HttpSpec)
        return one.credentials

    assert spec("kind: static, header: X-Key, secret: '${CRM}'") == StaticSpec("X-Key", None, FromEnvironment("CRM"))
    assert spec("kind: static, scheme: Bearer, secret: 'keyring:crm/gw'") == StaticSpec(
        "Authorization", "Bearer", FromKeyring("crm", "gw")
    )
    client = ClientSpec("https://login.example.com/token", "gw", FromFile(f"{tmp_path}/a.secret"), None, ("x", "y"))
    assert spec(f"kind: client_credentials, {OAUTH}, client_secret: 'file:a.secret', scopes: [x, y]") == (
        ClientCredentialsSpec(client)
    )
    exchange = f"kind: token_exchange, {OAUTH}, client_key: 'file:/k.pem', issuer: gateway, assertion_key: 'file:a.pem'"
    assert spec(exchange) == TokenExchangeSpec(
        ClientSpec("https://login.example.com/token", "gw", None, FromFile("/k.pem")),
        "gateway",
        "https://login.example.com/token",
        FromFile(f"{tmp_path}/a.pem"),
    )


def test_an_api_has_them_too(write: Write) -> None:
    text = "openapi: {crm: {document: crm.yaml, base_url: 'https://api.example.com/v1'}}\n"
    (api,) = load_settings(write(credentials("kind: static, secret: 'file:k'") + text)).upstream_specs()
    assert isinstance(api, OpenApiSpec)
    assert isinstance(api.credentials, StaticSpec)


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ("kind: statik, secret: 'file:k'", 'kind: "statik" is not a kind of credentials. Write one of: static,'),
        ("kind: static", "credentials: lacks secret, which static needs."),
        ("kind: static, secret: hunter2-hunter2", "secret: this value is not the place of a secret. Write ${VARIABLE}"),
        ("kind: static, secret: '${NOT_SET_ANYWHERE}'", "secret: the environment variable NOT_SET_ANYWHERE is not set"),
        ("kind: static, secret: 'file:k', client_id: gw", "credentials: has client_id, which static does not use."),
        (f"kind: client_credentials, {OAUTH}", "credentials: has either client_secret or client_key. Write exactly one"),
        (f"kind: token_exchange, {OAUTH}, client_secret: 'file:k'", "credentials: lacks issuer and assertion_key"),
        (
            "kind: client_credentials, client_id: gw, client_secret: 'file:k', token_url: 'http://login.example.com/token'",
            "token_url: this value could be answered by anybody on the way. Write https://",
        ),
    ],
)
def test_mistakes(told: Told, keys: str, why: str) -> None:
    lines = told(credentials(keys) + SERVER)
    assert [line for line in lines if why in line], lines
    assert not [line for line in lines if "hunter2" in line]


@pytest.mark.parametrize(
    ("server", "why"),
    [
        ("{crm: {command: sh}}", "credentials: is for a server with url, an API or an agent."),
        ("{crm: {url: 'http://crm.example.com/mcp'}}", "credentials: would be sent unencrypted. Write https://"),
        (
            "{crm: {url: 'https://crm.example.com/mcp', headers: {authorization: x}}}",
            "credentials: sends the header Authorization, which headers sets, too.",
        ),
    ],
)
def test_credentials_that_do_not_fit_their_server(told: Told, server: str, why: str) -> None:
    lines = told(credentials("kind: static, secret: 'file:k'") + f"mcpServers: {server}\n")
    assert [line for line in lines if why in line], lines


def test_no_sandbox_reaches_a_secret(told: Told, tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    text = (
        "upstreams: {crm: {credentials: {kind: static, secret: 'file:keys/crm'}}, "
        "box: {sandbox: {kind: bubblewrap, read: [keys]}}}\n"
        "mcpServers: {crm: {url: 'https://crm.example.com/mcp'}, box: {command: sh}}\n"
    )
    (line,) = told(text)
    assert "read[0]: reaches upstreams.crm.credentials.secret, on which the gateway relies." in line


def test_what_is_shown_names_the_place_and_never_the_secret(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM", "hunter2-hunter2")
    settings = load_settings(write(credentials("kind: static, secret: '${CRM}'") + SERVER))
    assert settings.effective()["upstreams.crm.credentials.secret"]["value"] == "${CRM}"
    assert "hunter2" not in str(settings.effective())
    assert "hunter2" not in repr(settings)
