"""Flags go before the environment, the environment before the file, the file before defaults; and each tells where it is."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.adapters.upstream.spec import HttpSpec, Limits, StdioSpec
from gateway.core.capability import ApprovalMode, Classification, IdempotencyRule, TrustLevel
from gateway.core.dsse import key_id
from gateway.core.errors import ConfigError
from gateway.settings import Settings, load_settings
from tests.settings.conftest import Write

FILE = """\
tenant: from-file
listen: {port: 1000, host: 10.0.0.1}
mcpServers:
  GitHub: {command: python}
  my_notes: {url: "https://notes.example.com/mcp?key=${NOTES_KEY:-none}", headers: {X-Token: abc}}
upstreams:
  GitHub: {deadline_seconds: 5}
tools:
  - {match: [GitHub__get_*, "my_notes__*"], mode: read_only, trust: trusted, owner: docs}
  - {match: "*", mode: network, egress: [api.example.com]}
approvers: [{principal: "user:alice", public_key: 9vVxGdNhAEFGsIsnB3NVkdxhl7L+OqCZCyqbX6FfUSw=}]
callers:
  - principal: user:alice
    actors: [agent:claude]
    token_sha256: BB00000000000000000000000000000000000000000000000000000000000000
"""


def told(settings: Settings, key: str) -> tuple[object, str]:
    entry = settings.effective()[key]
    return entry["value"], entry["source"]


def test_each_source_goes_before_the_next(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(FILE)
    settings = load_settings(path)
    assert settings.configuration.listen.port == 1000
    assert told(settings, "listen.port") == (1000, "file")
    monkeypatch.setenv("SEALGATE__LISTEN__PORT", "2000")
    settings = load_settings(path)
    assert settings.configuration.listen.port == 2000
    assert told(settings, "listen.port") == (2000, "env")
    settings = load_settings(path, overrides={"listen": {"port": 3000}})
    assert settings.configuration.listen.port == 3000
    assert told(settings, "listen.port") == (3000, "flag")
    assert told(settings, "listen.host") == ("10.0.0.1", "file")
    assert told(settings, "policy.deadline_ms") == (250, "default")
    assert told(settings, "tools[0].owner") == ("docs", "file")
    assert told(settings, "tools[1].owner") == ("unowned", "default")


def test_a_flag_may_be_dotted_and_one_not_given_says_nothing(write: Write) -> None:
    settings = load_settings(write(FILE), overrides={"listen.port": 3000, "listen.host": None, "policy": {"path": None}})
    assert settings.configuration.listen.port == 3000
    assert settings.configuration.listen.host == "10.0.0.1"


def test_variables_reach_lists_blocks_and_servers_of_any_case(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEALGATE__UPSTREAMS__GITHUB__MAX_CONCURRENT", "3")
    monkeypatch.setenv("SEALGATE__UPSTREAMS__MY_NOTES__REFRESH_SECONDS", "2.5")
    monkeypatch.setenv("SEALGATE__MCPSERVERS__GITHUB__ARGS", '["-m", "x"]')
    monkeypatch.setenv("SEALGATE__LISTEN__ALLOWED_HOSTS", '["gw.example.com"]')
    monkeypatch.setenv("SEALGATE__APPROVALS", '{"ttl_seconds": 60}')
    monkeypatch.setenv("SEALGATE__TENANT", "1234")
    settings = load_settings(write(FILE))
    specs = {spec.name: spec for spec in settings.upstream_specs()}
    github = specs["GitHub"]
    assert isinstance(github, StdioSpec)
    assert github.args == ("-m", "x")
    assert github.limits == Limits(deadline_seconds=5, max_concurrent=3)
    assert specs["my_notes"].limits == Limits(refresh_seconds=2.5)
    assert settings.configuration.listen.allowed_hosts == ("gw.example.com",)
    assert settings.configuration.approvals.ttl_seconds == 60
    assert settings.configuration.tenant == "1234"


def test_a_list_replaces_the_list_below_it(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEALGATE__TOOLS", '[{"match": "GitHub__*", "mode": "destructive"}]')
    settings = load_settings(write(FILE))
    assert [glob for glob, _ in settings.rules()] == ["GitHub__*"]
    assert told(settings, "tools[0].mode") == ("destructive", "env")


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        (
            "SEALGATE__LISTEN__PORT",
            "many",
            'environment, SEALGATE__LISTEN__PORT: listen.port: "many" is not a whole number. '
            "Write a number from 0 to 65535.",
        ),
        (
            "SEALGATE__LISTNE__PORT",
            "1",
            'environment, SEALGATE__LISTNE__PORT: listne.port: unknown key. Did you mean "listen"?',
        ),
        (
            "SEALGATE__LISTEN__PROT",
            "1",
            'environment, SEALGATE__LISTEN__PROT: listen.prot: unknown key. Did you mean "port"?',
        ),
        (
            "SEALGATE__TOOLS",
            "[{",
            "environment, SEALGATE__TOOLS: tools: is not JSON: Expecting property name enclosed in double quotes: "
            "line 1 column 3 (char 2). Write a list or block as JSON.",
        ),
        (
            "SEALGATE__TOOLS",
            '[{"match": "GitHub__x", "mode": "write"}]',
            'environment, SEALGATE__TOOLS: tools[0].mode: "write" is not an approval mode. '
            "Write one of: read_only, local_write, network, delegated, destructive",
        ),
        (
            "SEALGATE__LISTEN__ALLOWED_HOSTS",
            "gw.example.com",
            "environment, SEALGATE__LISTEN__ALLOWED_HOSTS: listen.allowed_hosts: is not JSON: "
            "Expecting value: line 1 column 1 (char 0). Write a list or block as JSON.",
        ),
        (
            "SEALGATE__MCPSERVERS__GITHUB",
            "python",
            "environment, SEALGATE__MCPSERVERS__GITHUB: mcpServers.github: is not JSON: "
            "Expecting value: line 1 column 1 (char 0). Write a list or block as JSON.",
        ),
        (
            "SEALGATE__LISTEN__ALLOWED_HOSTS",
            '"gw.example.com"',
            'environment, SEALGATE__LISTEN__ALLOWED_HOSTS: listen.allowed_hosts: "gw.example.com" is not a list. '
            "Write [a, b], or one value a line after a dash.",
        ),
        (
            "SEALGATE__MCPSERVERS__GITHUB__ENV__API_KEY",
            "hunter2",
            "environment, SEALGATE__MCPSERVERS__GITHUB__ENV__API_KEY: mcpServers.github.env.api_key: "
            "the case of its name is lost here. Write JSON into the variable that ends in __ENV.",
        ),
        (
            "SEALGATE__TENANT",
            "\udcff",
            "environment, SEALGATE__TENANT: tenant: holds a NUL or bytes that are not UTF-8. Remove them.",
        ),
    ],
)
def test_a_mistake_in_a_variable_names_the_variable(
    write: Write, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, line: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError) as raised:
        load_settings(write(FILE))
    assert raised.value.message.splitlines() == [line]


def test_a_mistake_in_a_flag_is_told_after_those_of_the_file(write: Write) -> None:
    with pytest.raises(ConfigError) as raised:
        load_settings(write("tenant: no thing"), overrides={"listen.port": -1, "tenat": "x"})
    assert raised.value.message.splitlines() == [
        'gateway.yaml:1:9: tenant: "no thing" is not a tenant name. Use letters, digits, `.`, `_` and `-`, '
        "at most 63 characters.",
        "flag: listen.port: -1 is out of range. Write a number from 0 to 65535.",
        'flag: tenat: unknown key. Did you mean "tenant"?',
    ]


def test_wiring_gets_plain_values(write: Write) -> None:
    settings = load_settings(write(FILE))
    read = Classification(ApprovalMode.READ_ONLY, TrustLevel.TRUSTED, "docs", IdempotencyRule.NONE)
    rest = Classification(
        ApprovalMode.NETWORK, TrustLevel.UNTRUSTED, "unowned", IdempotencyRule.DERIVED, ("api.example.com",)
    )
    assert settings.rules() == (("GitHub__get_*", read), ("my_notes__*", read), ("*", rest))
    notes = settings.upstream_specs()[1]
    assert notes == HttpSpec("my_notes", "https://notes.example.com/mcp?key=none", {"X-Token": "abc"})
    raw = base64.b64decode("9vVxGdNhAEFGsIsnB3NVkdxhl7L+OqCZCyqbX6FfUSw=")
    (approver,) = settings.approvers().values()
    assert settings.approvers() == {key_id(raw): approver}
    assert approver.principal == "user:alice"
    assert isinstance(approver.key, Ed25519PublicKey)
    assert approver.key.public_bytes_raw() == raw
    assert settings.configuration.callers[0].token_sha256 == "bb" + "0" * 62
    assert settings.policy_path is None
    assert settings.log_origin == "sealgate.local/from-file"


def test_credentials_are_hidden_in_what_is_shown(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTES_KEY", "hunter2")
    settings = load_settings(
        write(FILE + "log: {origin: example.com/log}\n"),
        overrides={"mcpServers": {"GitHub": {"env": {"K": "hunter2"}, "args": ["${NOTES_KEY}"]}}},
    )
    shown = settings.effective()
    assert "hunter2" not in repr(shown)
    assert "abc" not in repr(shown)
    assert "bb00" not in repr(shown).lower()
    assert told(settings, "mcpServers.GitHub.env.K") == ("(hidden)", "flag")
    assert told(settings, "mcpServers.GitHub.args") == (["${NOTES_KEY}"], "flag")
    assert told(settings, "mcpServers.my_notes.headers.X-Token") == ("(hidden)", "file")
    assert told(settings, "mcpServers.my_notes.url") == ("https://notes.example.com/mcp?(hidden)", "file")
    assert told(settings, "callers[0].token_sha256") == ("(hidden)", "file")


def test_the_digest_is_of_values_not_of_where_they_come_from_or_of_credentials(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_settings(write(FILE)).digest()
    assert first.startswith("sha256:")
    assert load_settings(write(FILE.replace("port: 1000, ", "")), overrides={"listen.port": 1000}).digest() == first
    assert load_settings(write(FILE.replace("abc", "xyz"))).digest() == first
    monkeypatch.setenv("NOTES_KEY", "hunter2")
    assert load_settings(write(FILE)).digest() == first
    assert load_settings(write(FILE.replace("1000", "1001"))).digest() != first
