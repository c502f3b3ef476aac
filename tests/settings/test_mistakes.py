"""Each mistake is told with its place, what is wrong and what to write instead."""

from pathlib import Path

import pytest

from gateway.core.errors import ConfigError
from gateway.settings import load_settings
from tests.settings.conftest import Told, Write

SERVERS = "mcpServers: {notes: {command: python}}\n"
MODES = "read_only, local_write, network, delegated, destructive"

ISSUER = "issuer: 'https://a.co', scopes: {t: [agent]}"


def oauth(issuers: str) -> str:
    """The block about issuers of tokens, on one line."""
    return f"auth: {{oauth: {{resource: 'https://g.co/mcp', issuers: [{issuers}]}}}}"


ONE_LINERS = [
    ("tenent: acme", '1:1: tenent: unknown key. Did you mean "tenant"?'),
    ("listen: {prot: 1}", '1:10: listen.prot: unknown key. Did you mean "port"?'),
    (
        "approvals: {zzz: 1}",
        "1:13: approvals.zzz: unknown key. The keys here are: ttl_seconds, elicitation, webhooks.",
    ),
    ("listen: {port: 65536}", "1:16: listen.port: 65536 is out of range. Write a number from 0 to 65535."),
    ("listen: {port: 1.5}", "1:16: listen.port: 1.5 is not a whole number. Write a number from 0 to 65535."),
    ("listen: {port: true}", "1:16: listen.port: true is not a whole number. Write a number from 0 to 65535."),
    ('listen: {port: "1"}', '1:16: listen.port: "1" is not a whole number. Write a number from 0 to 65535.'),
    ("listen: {port: }", "1:15: listen.port: is empty. Write a number from 0 to 65535."),
    (
        "upstreams: {notes: {deadline_seconds: 0}}",
        "1:39: upstreams.notes.deadline_seconds: 0 is out of range. Write a number above 0, at most 3600.",
    ),
    (
        "upstreams: {notes: {deadline_seconds: .nan}}",
        "1:39: upstreams.notes.deadline_seconds: NaN is out of range. Write a number above 0, at most 3600.",
    ),
    (
        "listen: {host: 'http://x'}",
        '1:16: listen.host: "http://x" is not an address to listen on. '
        "Write a host without scheme and port, for example: 127.0.0.1",
    ),
    (
        "listen: {allowed_hosts: gw.example.com}",
        '1:25: listen.allowed_hosts: "gw.example.com" is not a list. Write [a, b], or one value a line after a dash.',
    ),
    (
        "listen: {allowed_hosts: ['https://gw']}",
        '1:26: listen.allowed_hosts[0]: "https://gw" is not a host. '
        "Write host or host:port without a scheme, for example: gateway.example.com:8443",
    ),
    (
        "listen: {allowed_origins: ['https://gw/']}",
        '1:28: listen.allowed_origins[0]: "https://gw/" is not a web origin. '
        "Write scheme and host, with the port if there is one, for example: https://app.example.com",
    ),
    (
        "listen: {unix: x.sock}",
        "1:9: listen: has unix without peers, or peers without unix. Write both: a socket, and who may use it.",
    ),
    (
        "listen: {unix: x.sock, peers: [{principal: 'user:x'}]}",
        "1:32: listen.peers[0]: names neither a user nor a group. Write uid:, gid:, or both.",
    ),
    (
        "listen: {unix: x.sock, peers: [{uid: -1, principal: 'user:x'}]}",
        "1:38: listen.peers[0].uid: -1 is out of range. Write a number from 0 to 4294967294.",
    ),
    (
        "auth: {oauth: {issuers: [{issuer: 'https://a.co', scopes: {t: [agent]}}]}}",
        "1:15: auth.oauth.resource: is missing. Write for example: resource: https://gateway.example.com/mcp",
    ),
    (oauth(""), "1:55: auth.oauth.issuers: is empty. Write at least one value."),
    (
        oauth("{issuer: 'http://a.co', scopes: {t: [agent]}}"),
        '1:65: auth.oauth.issuers[0].issuer: "http://a.co" could be answered by anybody on the way. Write '
        "https:// for what is not on this machine.",
    ),
    (
        oauth("{issuer: 'https://a.co?x=1', scopes: {t: [agent]}}"),
        '1:65: auth.oauth.issuers[0].issuer: "https://a.co?x=1" has a query, which no issuer has (RFC 8414). '
        "Write it as `iss` in its tokens has it.",
    ),
    (
        oauth("{issuer: 'https://a.co', scopes: {}}"),
        "1:89: auth.oauth.issuers[0].scopes: is empty. Write at least one value.",
    ),
    (
        oauth("{issuer: 'https://a.co', scopes: {t: [root]}}"),
        '1:94: auth.oauth.issuers[0].scopes.t[0]: "root" is not a role. Write one of: agent, approver, auditor, admin',
    ),
    (
        oauth("{issuer: 'https://a.co', scopes: {'a b': [agent]}}"),
        '1:90: auth.oauth.issuers[0].scopes."a b": this name is not a scope. Write for example: tools.call',
    ),
    (
        oauth(f"{{{ISSUER}, algorithms: [HS256]}}"),
        '1:116: auth.oauth.issuers[0].algorithms[0]: "HS256" is not an algorithm. Write one of: RS256, PS256, ES256, EdDSA',
    ),
    (
        oauth(f"{{{ISSUER}, jwks_uri: 'http://a.co/keys'}}"),
        '1:113: auth.oauth.issuers[0].jwks_uri: "http://a.co/keys" could be answered by anybody on the way. '
        "Write https:// for what is not on this machine.",
    ),
    (
        oauth(f"{{{ISSUER}, principal_prefix: 'corp:'}}"),
        '1:121: auth.oauth.issuers[0].principal_prefix: "corp:" is no beginning of a principal. Write for '
        "example: user: or user:corp|",
    ),
    (
        oauth(f"{{{ISSUER}}}, {{issuer: 'https://b.co', scopes: {{t: [agent]}}}}"),
        "1:15: auth.oauth: has two issuers that could name the same principal. Give each a principal_prefix "
        "that is not the beginning of another's, for example: user:corp| and user:partner|",
    ),
    (oauth(f"{{{ISSUER}}}, {{{ISSUER}}}"), "1:15: auth.oauth: has the issuer https://a.co twice. Write one block for it."),
    (
        "auth: {oauth: {resource: 'g.co', issuers: [{issuer: 'https://a.co', scopes: {t: [agent]}}]}}",
        '1:26: auth.oauth.resource: "g.co" is not an http:// or https:// address. Write for example: '
        "https://mcp.example.com/mcp",
    ),
    (
        "limits: {requests_per_minute: 0}",
        "1:31: limits.requests_per_minute: 0 is out of range. Write a number from 1 to 1000000.",
    ),
    ("limits: {concurrent: many}", '1:22: limits.concurrent: "many" is not a whole number. Write a number from 1 to 65536.'),
    ("tenant: 5", "1:9: tenant: 5 is a number, not text. Put it in quotes."),
    (
        "tenant: no thing",
        '1:9: tenant: "no thing" is not a tenant name. Use letters, digits, `.`, `_` and `-`, at most 63 characters.',
    ),
    ("state: ~/gate", '1:8: state: "~/gate" starts with ~, which only shells understand. Write the whole path.'),
    ("policy: []", "1:9: policy: is not a block. Write keys with their values below it."),
    ("policy: {engine: cedar}", '1:18: policy.engine: "cedar" is not a policy engine. Write one of: embedded, opa'),
    (
        "policy: {opa_url: 'localhost:8181'}",
        '1:19: policy.opa_url: "localhost:8181" is not an http:// or https:// address. '
        "Write for example: https://mcp.example.com/mcp",
    ),
    (
        "policy: {opa_url: 'http://[::1'}",
        '1:19: policy.opa_url: "http://[::1" is not an http:// or https:// address. '
        "Write for example: https://mcp.example.com/mcp",
    ),
    (
        "policy: {opa_url: 'http://opa/#top'}",
        '1:19: policy.opa_url: "http://opa/#top" ends in a #fragment, which is never sent. Remove it.',
    ),
    (
        "approvals: {ttl_seconds: [1]}",
        "1:26: approvals.ttl_seconds: is not a whole number. Write a number from 1 to 604800.",
    ),
    ("tenant: [a]", "1:9: tenant: is not text. Write one value."),
    ("tools: [{match: notes__a, mode: }]", f"1:32: tools[0].mode: is empty. Write one of: {MODES}"),
    (
        "approvers: [{principal: 'user:a', public_key: '!'}]",
        '1:47: approvers[0].public_key: "!" is not an Ed25519 public key. '
        "Write the base64 of its 32 raw bytes: 44 characters that end in =",
    ),
    (
        "log: {origin: our log}",
        '1:15: log.origin: "our log" is not a log origin. '
        "Write a name without spaces and plus signs, for example: example.com/gateway",
    ),
    ("upstreams: {note: {}}", '1:13: upstreams.note: mcpServers has no "note". Did you mean "notes"?'),
    ("upstreams: {web: {}}", '1:13: upstreams.web: mcpServers has no "web". The servers are: notes.'),
    (
        "tools: [{match: 'note__*', mode: network}]",
        '1:17: tools[0].match: mcpServers has no "note". Did you mean "notes"?',
    ),
    (
        "tools: [{match: [notes__a, web__b], mode: network}]",
        '1:28: tools[0].match[1]: mcpServers has no "web". The servers are: notes.',
    ),
    (
        "tools: [{match: read_file, mode: network}]",
        '1:17: tools[0].match[0]: "read_file" matches no tool: tools are called server__tool. '
        "Write for example: *__read_file",
    ),
    ("tools: [{match: [], mode: network}]", "1:17: tools[0].match: is empty. Write at least one value."),
    ("tools: [{match: notes__a}]", f"1:9: tools[0].mode: is missing. Write one of: {MODES}"),
    ("tools: [{mode: network}]", "1:9: tools[0].match: is missing. Write for example: match: notes__read_*"),
    (
        "tools: [{match: notes__a, mode: readonly}]",
        f'1:33: tools[0].mode: "readonly" is not an approval mode. Write one of: {MODES}',
    ),
    (
        "tools: [{match: notes__a, mode: network, idempotency: none}]",
        '1:55: tools[0].idempotency: "none" is not enough for mode network: an effect needs a key. '
        "Write derived or required.",
    ),
    (
        "tools: [{match: notes__a, mode: network, egress: ['*.example.com']}]",
        '1:51: tools[0].egress[0]: "*.example.com" is not a host. '
        "Write its name without scheme and wildcard, for example: api.example.com",
    ),
    (
        "tools: [{match: notes__a, mode: network, reconcile: look}]",
        '1:53: tools[0].reconcile: "look" is not the name of a tool. Write server__tool, for example: shop__order_status',
    ),
    (
        "tools: [{match: notes__a, mode: network, reconcile: web__look}, {match: '*__look', mode: read_only}]",
        '1:53: tools[0].reconcile: is of another server than "notes__a". Name a tool of the same server.',
    ),
    (
        "tools: [{match: '*__a', mode: network, reconcile: notes__look}, {match: '*__look', mode: read_only}]",
        '1:51: tools[0].reconcile: is of another server than "*__a". Name a tool of the same server.',
    ),
    (
        "tools: [{match: notes__a, mode: network, reconcile: notes__look}]",
        '1:53: tools[0].reconcile: names "notes__look", which no rule makes read_only. Add one before others.',
    ),
    (
        "tools: [{match: 'notes__*', mode: network, reconcile: notes__look}, {match: notes__look, mode: read_only}]",
        '1:55: tools[0].reconcile: names "notes__look", which no rule makes read_only. Add one before others.',
    ),
    ("retention: {results_days: 0}", "1:27: retention.results_days: 0 is out of range. Write a number from 1 to 36500."),
    (
        "approvers: [{principal: alice, public_key: 9vVxGdNhAEFGsIsnB3NVkdxhl7L+OqCZCyqbX6FfUSw=}]",
        '1:25: approvers[0].principal: "alice" is not a principal. '
        "Write user:, service:, agent: or automation: and an id, for example: user:alice",
    ),
    (
        "approvers: [{principal: 'user:a', public_key: c2hvcnQ=}]",
        '1:47: approvers[0].public_key: "c2hvcnQ=" is not an Ed25519 public key. '
        "Write the base64 of its 32 raw bytes: 44 characters that end in =",
    ),
    (
        "callers: [{principal: 'user:a', roles: [boss], token_sha256: " + "a" * 64 + "}]",
        '1:41: callers[0].roles[0]: "boss" is not a role. Write one of: agent, approver, auditor, admin',
    ),
    (
        "callers: [{principal: 'user:a', token_sha256: s3cret}]",
        "1:47: callers[0].token_sha256: this value is not a SHA-256. "
        'Write the 64 hex digits of: printf %s "$TOKEN" | sha256sum',
    ),
]


@pytest.mark.parametrize(("text", "expected"), ONE_LINERS, ids=[text for text, _ in ONE_LINERS])
def test_a_mistake_is_told_with_place_and_remedy(told: Told, text: str, expected: str) -> None:
    assert told(f"{text}\n{SERVERS}") == [f"gateway.yaml:{expected}"]


SERVER_MISTAKES = [
    ("{}", "2:9: mcpServers.notes: names neither a program nor an address. Write command: or url:"),
    (
        "{command: x, url: 'http://x'}",
        "2:9: mcpServers.notes: has both command and url. Keep the one that reaches the server.",
    ),
    (
        "{command: x, headers: {A: b}}",
        "2:9: mcpServers.notes: has headers, which a server with command cannot have. Remove it.",
    ),
    (
        "{url: 'http://x', args: [a], type: stdio}",
        "2:9: mcpServers.notes: has type: stdio and args, which a server with url cannot have. Remove it.",
    ),
    (
        "{command: x, type: sse}",
        "2:9: mcpServers.notes: has type: sse, which a server with command cannot have. Remove it.",
    ),
    (
        "{url: 'https://x', type: websocket}",
        '2:34: mcpServers.notes.type: "websocket" is not a kind of server. Write one of: stdio, http, streamable-http, sse',
    ),
    ("{command: x, arg: [a]}", '2:22: mcpServers.notes.arg: unknown key. Did you mean "args"?'),
    ("{serverUrl: 'http://x', url: 'http://x'}", "2:10: mcpServers.notes.serverUrl: is called url here. Rename it."),
    ("{command: x, args: [8080]}", "2:29: mcpServers.notes.args[0]: this value is a number, not text. Put it in quotes."),
    (
        "{command: x, env: {PORT: 8080}}",
        "2:34: mcpServers.notes.env.PORT: this value is a number, not text. Put it in quotes.",
    ),
    (
        "{command: x, env: {ON: true}}",
        "2:32: mcpServers.notes.env.ON: this value is true or false, not text. Put it in quotes.",
    ),
    (
        '{url: "http://x", headers: {A: "a\\nb"}}',
        "2:40: mcpServers.notes.headers.A: this value holds a line break or another character that no header can carry. "
        "Remove it.",
    ),
    (
        "{url: 'https://user:hunter2@x'}",
        "2:15: mcpServers.notes.url: this value holds a user name or password. Put credentials into headers.",
    ),
    (
        "{command: x, args: ['${NOT_SET_HERE}']}",
        "2:29: mcpServers.notes.args[0]: the environment variable NOT_SET_HERE is not set. "
        "Set it, or write ${NOT_SET_HERE:-a default}",
    ),
    (
        "{url: '${NOT_SET_HERE}/mcp'}",
        "2:15: mcpServers.notes.url: the environment variable NOT_SET_HERE is not set. "
        "Set it, or write ${NOT_SET_HERE:-a default}",
    ),
    (
        "{command: x, env: {K: '${input:key}'}}",
        "2:31: mcpServers.notes.env.K: ${input:key} is not a variable. "
        "Editors ask a person for it; a gateway cannot. Write ${VAR} and set VAR in the environment.",
    ),
    ('{command: "a\\0b"}', "2:19: mcpServers.notes.command: holds a NUL or bytes that are not UTF-8. Remove them."),
]


@pytest.mark.parametrize(("server", "expected"), SERVER_MISTAKES, ids=[server for server, _ in SERVER_MISTAKES])
def test_a_mistake_in_a_server_is_told_without_its_value(told: Told, server: str, expected: str) -> None:
    assert told(f"mcpServers:\n notes: {server}\n") == [f"gateway.yaml:{expected}"]


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("my notes", "my-notes"),
        ("a__b", "a-b"),
        ("-notes", "notes"),
        ("notes-", "notes"),
        ("n" * 32, "n" * 31),
        ("nötes", "n-tes"),
        ("@scope/pkg", "scope-pkg"),
        ("%", "server"),
    ],
)
def test_a_confusing_server_name_is_refused_with_a_better_one(told: Told, name: str, instead: str) -> None:
    (line,) = told(f'mcpServers: {{"{name}": {{command: x}}}}')
    assert line.startswith("gateway.yaml:1:14: mcpServers.")
    assert line.endswith(f"at most 31 characters. Write for example: {instead}")


@pytest.mark.parametrize("name", ["sealgate", "SEALGATE", "sea1gate"])
def test_no_server_has_the_gateways_own_name_or_one_that_looks_like_it(told: Told, name: str) -> None:
    assert told(f"mcpServers: {{{name}: {{command: x}}}}") == [
        f'gateway.yaml:1:14: mcpServers.{name}: "{name}" is, or looks like, the gateway\'s own name sealgate. '
        "Give the server another one."
    ]


def test_what_callers_may_know_of_is_of_a_server_that_is_there(told: Told) -> None:
    (line, other) = told(f"""\
        mcpServers: {{notes: {{command: x}}}}
        listen: {{unix: a.sock, peers: [{{uid: 1, principal: "user:b", tools: ["note__*"]}}]}}
        callers:
          - {{principal: "user:a", token_sha256: {"a" * 64}, tools: ["*__x", "notes__*/*", "files__read"]}}
        """)
    assert 'peers[0].tools[0]: mcpServers has no "note"' in line
    assert 'callers[0].tools[2]: mcpServers has no "files"' in other


def test_two_servers_may_not_look_the_same(told: Told) -> None:
    assert told("mcpServers: {Notes1: {command: x}, notesl: {command: x}}") == [
        'gateway.yaml:1:36: mcpServers.notesl: looks the same as the server "Notes1". Rename one of them.'
    ]


def test_a_token_and_a_key_stand_once(told: Told) -> None:
    key = "9vVxGdNhAEFGsIsnB3NVkdxhl7L+OqCZCyqbX6FfUSw="
    assert told(f"""\
        approvers:
          - {{principal: "user:a", public_key: {key}}}
          - {{principal: "user:b", public_key: {key}}}
        callers:
          - principal: user:a
            token_sha256: {"a" * 64}
          - principal: user:b
            token_sha256: {"A" * 64}
        """) == [
        "gateway.yaml:3:39: approvers[1].public_key: approvers[0] has the same key. Give each approver their own.",
        "gateway.yaml:8:19: callers[1].token_sha256: callers[0] has the same token. Give each caller their own.",
    ]


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(told: Told) -> None:
    assert told("""\
        log: {origin: a+b}
        tools:
          - match: nots__read
            mode: read_only
            trust: yes
          - mode: destructive
            idempotency: none
        listen:
          port: 99999
          port: 1
        mcpServers:
          notes: {command: "${NOT_SET_HERE}", disabled: true}
          my notes: {type: grpc}
        """) == [
        'gateway.yaml:1:15: log.origin: "a+b" is not a log origin. '
        "Write a name without spaces and plus signs, for example: example.com/gateway",
        'gateway.yaml:3:12: tools[0].match: mcpServers has no "nots". Did you mean "notes"?',
        'gateway.yaml:5:12: tools[0].trust: "yes" is not a trust level. Write one of: trusted, untrusted',
        "gateway.yaml:6:5: tools[1].match: is missing. Write for example: match: notes__read_*",
        'gateway.yaml:7:18: tools[1].idempotency: "none" is not enough for mode destructive: an effect needs a key. '
        "Write derived or required.",
        "gateway.yaml:9:9: listen.port: 99999 is out of range. Write a number from 0 to 65535.",
        'gateway.yaml:10:3: the key "port" stands on line 9 already. Keep one.',
        "gateway.yaml:12:20: mcpServers.notes.command: the environment variable NOT_SET_HERE is not set. "
        "Set it, or write ${NOT_SET_HERE:-a default}",
        'gateway.yaml:13:3: mcpServers."my notes": "my notes" is not a server name. Use letters and digits with single '
        "- or _ between them, at most 31 characters. Write for example: my-notes",
        'gateway.yaml:13:20: mcpServers."my notes".type: "grpc" is not a kind of server. '
        "Write one of: stdio, http, streamable-http, sse",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "mcpServers: {n: {command: x, env: {K: [hunter2]}}}",
        "mcpServers: {n: {command: [hunter2]}}",
        "mcpServers: {n: hunter2}",
        "mcpServers: {n: {url: 'ftp://hunter2'}}",
        "mcpServers: {n: {url: 'http://x', headers: {'Authorization: Bearer hunter2': x}}}",
        "mcpServers: {n: {url: 'http://x?${HUNTER}'}}",
        "callers: [{principal: 'user:a', token_sha256: hunter2}]",
        "callers: [hunter2: {}, token_sha256: hunter2]",
    ],
)
def test_a_message_repeats_no_credential(told: Told, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("HUNTER", "hunter2 #")
    message = "\n".join(told(text))
    assert "hunter2" not in message.replace("callers[0].hunter2", "")


def test_nothing_in_a_message_acts_on_the_terminal(told: Told) -> None:
    message = "\n".join(told('"\\e[31mred": "\\e[31m"\ntenant: "\\e]0;x\\a\u202e"'))
    assert message.replace("\n", "").isprintable()


def test_a_missing_file_is_told_with_an_example_that_works(write: Write) -> None:
    with pytest.raises(ConfigError) as raised:
        load_settings()
    assert raised.value.message == "gateway.yaml: there is no such file."
    example = raised.value.hint.removeprefix("Write for example:\n").rpartition("\n`sealgate config schema`")[0]
    assert len(load_settings(write(example)).rules()) == 1


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n...\n", "null"])
def test_an_empty_file_is_told(told: Told, text: str) -> None:
    assert told(text) == ["gateway.yaml: the file is empty."]


@pytest.mark.parametrize("text", ["[]", "gateway", "5"])
def test_a_file_that_is_no_block_is_told(told: Told, text: str) -> None:
    assert told(text) == ["gateway.yaml:1:1: the file is not a block of keys."]


def test_a_folder_is_no_file() -> None:
    with pytest.raises(ConfigError, match=r"^\.: this is not a file\.$"):
        load_settings(Path())
