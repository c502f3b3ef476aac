"""Functions and APIs in the file: what they become, and each mistake with its place and remedy."""

import sys
from pathlib import Path

import pytest

from gateway.adapters.upstream.spec import AgentSpec, OpenApiSpec, Sandbox, StdioSpec
from gateway.core.capability import ApprovalMode, DeclaredBy
from gateway.core.seed import Believed
from gateway.settings import load_settings
from tests.settings.conftest import Told, Write

API = "openapi: {pets: {document: pets.yaml, base_url: 'https://api.example.com/v1'}}\n"
AGENT = "agents: {travel: {card: 'https://travel.example/.well-known/agent-card.json'}}\n"
MODULE = "functions: {shop: {module: shop_tools.py}}\n"


def test_a_module_becomes_a_server_that_the_gateways_own_python_runs(write: Write, tmp_path: Path) -> None:
    text = "functions: {shop: {module: tools/shop.py, env: {KEY: '${SHOP_KEY:-k}'}}}\n"
    text += "upstreams: {shop: {deadline_seconds: 3, sandbox: {kind: bubblewrap, read: [tools]}}}"
    settings = load_settings(write(text))
    (shop,) = settings.upstream_specs()
    assert isinstance(shop, StdioSpec)
    assert (shop.command, shop.args) == (sys.executable, ("-P", "-m", "gateway.functions", f"{tmp_path}/tools/shop.py"))
    assert (shop.env["KEY"], shop.cwd, shop.limits.deadline_seconds) == ("k", str(tmp_path), 3)
    assert isinstance(shop.sandbox, Sandbox)
    assert shop.sandbox.read[0] == f"{tmp_path}/tools"
    assert settings.believed() == {"shop": Believed(DeclaredBy.DECORATOR)}


def test_a_module_of_another_python_gets_nothing_of_this_one(write: Write, tmp_path: Path) -> None:
    (shop,) = load_settings(write("functions: {shop: {module: shop.tools, python: own/bin/python}}")).upstream_specs()
    assert isinstance(shop, StdioSpec)
    assert (shop.command, shop.args[-1], shop.env) == (f"{tmp_path}/own/bin/python", "shop.tools", {})


def test_an_api_is_called_at_its_base_url_with_its_credentials(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PETS_KEY", "secret")
    text = """
    openapi:
      pets:
        document: pets.yaml
        base_url: https://api.example.com/v1/
        headers: {X-API-Key: "${PETS_KEY}"}
        query: {key: "${PETS_KEY}"}
        operations: {include: ["GET *", add*], exclude: [addAll]}
        owner: pet-team
        idempotency_header: X-Request-Id
        encoded_slashes: true
    upstreams: {pets: {private_addresses: true, max_concurrent: 2}}
    """
    settings = load_settings(write(text))
    (pets,) = settings.upstream_specs()
    assert isinstance(pets, OpenApiSpec)
    assert (pets.document, pets.url) == (f"{tmp_path}/pets.yaml", "https://api.example.com/v1")
    assert (pets.headers, pets.query) == ({"X-API-Key": "secret"}, {"key": "secret"})
    assert (pets.include, pets.exclude) == (("GET *", "add*"), ("addAll",))
    assert (pets.idempotency_header, pets.encoded_slashes, pets.private_addresses) == ("X-Request-Id", True, True)
    assert pets.limits.max_concurrent == 2
    assert settings.believed() == {"pets": Believed(DeclaredBy.METHOD, "pet-team", ("api.example.com",))}
    shown = settings.effective()
    assert "secret" not in str(shown)
    assert shown["openapi.pets.headers.X-API-Key"]["value"] == "(hidden)"
    assert shown["openapi.pets.query.key"]["value"] == "(hidden)"


def test_an_agent_is_believed_to_be_delegated_and_called_where_its_card_or_the_operator_says(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAVEL_KEY", "secret")
    text = """
    agents:
      travel:
        card: https://travel.example/card.json?k=${TRAVEL_KEY}
        headers: {Authorization: "Bearer ${TRAVEL_KEY}"}
        hosts: [Agents.example, "agents.example:8443"]
        owner: trips
    upstreams: {travel: {private_addresses: true}}
    """
    settings = load_settings(write(text))
    (travel,) = settings.upstream_specs()
    assert isinstance(travel, AgentSpec)
    assert (travel.url, travel.headers) == ("https://travel.example/card.json?k=secret", {"Authorization": "Bearer secret"})
    assert travel.places == (("travel.example", 443), ("agents.example", 443), ("agents.example", 8443))
    assert travel.may_be_private
    hosts = ("travel.example", "agents.example", "agents.example:8443")
    assert settings.believed() == {"travel": Believed(DeclaredBy.CARD, "trips", hosts, ApprovalMode.DELEGATED)}
    assert "secret" not in str(settings.effective())


def test_a_rule_may_name_a_tool_of_a_module_or_an_api(write: Write) -> None:
    text = MODULE + API + "tools: [{match: [shop__order, pets__*], mode: destructive}]"
    assert len(load_settings(write(text)).rules()) == 2


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("functions: {shop: {}}", "functions.shop.module: is missing. Write for example: module: shop_tools.py"),
        ("functions: {shop: {module: ./shop tools}}", "is not a module. Write a file that ends in .py"),
        ("functions: {shop: {module: shop.py, mode: read_only}}", "functions.shop.mode: unknown key"),
        ("openapi: {pets: {document: a.json}}", "openapi.pets.base_url: is missing. Write for example: base_url: https://"),
        ("openapi: {pets: {document: a.json, base_url: 'https://x.example?a=b'}}", "has a query"),
        ("openapi: {pets: {document: a.json, base_url: 'https://u:p@x.example'}}", "holds a user name or password"),
        (API.replace("pets.yaml", "'https://x.example/a.json'"), "needs sha256"),
        (API.replace("v1'", "v1', sha256: abc"), "is not a SHA-256"),
        (API.replace("v1'", "v1', operations: {include: ['GET  /a']}"), "is not a glob over operations"),
        (API.replace("v1'", 'v1\', headers: {A: "x\\ny"}'), "holds a line break"),
        (API.replace("v1'", "v1', headers: {A: '${NOT_SET_HERE}'}"), "the environment variable NOT_SET_HERE is not set"),
        (API + "upstreams: {pets: {sandbox: bubblewrap}}", "is for a server with command. Remove it: this is an API."),
        (
            MODULE + "upstreams: {shop: {private_addresses: true}}",
            "is for a server with url. Remove it: this is a module of functions.",
        ),
        ("agents: {travel: {}}", "agents.travel.card: is missing. Write for example: card: https://travel.example.com/"),
        ("agents: {travel: {card: 'https://u:p@x.example/card'}}", "holds a user name or password"),
        (AGENT.replace("json'", "json', hosts: ['a b']"), "agents.travel.hosts[0]"),
        (AGENT.replace("json'", "json', mode: read_only"), "agents.travel.mode: unknown key"),
        (AGENT + "upstreams: {travel: {sandbox: bubblewrap}}", "is for a server with command. Remove it: this is an agent."),
        (API + "mcpServers: {Pets: {command: sh}}", 'openapi.pets: looks the same as the server "Pets"'),
        (MODULE + API + "tools: [{match: shap__x, mode: read_only}]", 'Did you mean "shop"?'),
    ],
)
def test_a_mistake_is_told_with_its_place_and_remedy(told: Told, text: str, mistake: str) -> None:
    (line,) = told(text)
    assert mistake in line


@pytest.mark.parametrize(
    ("kinds", "mistake"),
    [
        ("functions: {shop: {module: job/shop.py}}", "functions.shop.module: is a script in"),
        ("functions: {shop: {module: shop.py, python: job/python}}", "functions.shop.python: is found, or needs files, in"),
        ("functions: {shop: {module: shop.py, env: {PYTHONPATH: job}}}", "env.PYTHONPATH: looks for programs in"),
        (API.replace("pets.yaml", "job/pets.yaml"), "reaches openapi.pets.document, on which the gateway relies"),
    ],
)  # fmt: skip
def test_what_a_server_may_write_is_neither_run_nor_believed(told: Told, tmp_path: Path, kinds: str, mistake: str) -> None:
    (tmp_path / "job").mkdir()
    text = f"{kinds}\nmcpServers: {{a: {{command: sh}}}}\nupstreams: {{a: {{sandbox: {{kind: bubblewrap, write: [job]}}}}}}"
    assert [line for line in told(text) if mistake in line]


def test_the_environment_sets_an_api_by_its_name_in_any_case(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEALGATE__OPENAPI__PETS__BASE_URL", "http://127.0.0.1:1")
    (pets,) = load_settings(write(API.replace("pets:", "Pets:"))).upstream_specs()
    assert isinstance(pets, OpenApiSpec)
    assert (pets.name, pets.url) == ("Pets", "http://127.0.0.1:1")
