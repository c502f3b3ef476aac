"""`sealgate up`, `serve` and `status`: run a gateway, and look at a running one."""

import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.adapters.keys import (
    approver_public_key,
    check_purpose,
    make_approver_key,
    make_keys,
    read_approver_name,
    read_approver_public_key,
    read_private_text,
    write_private_text,
)
from gateway.adapters.state import StateFolder
from gateway.cli.policy import rollback_lines, shadow_line
from gateway.cli.render import one_line, print_json, print_table, say
from gateway.cli.target import JsonOption, Target, login_name, targeted
from gateway.core.answer import Approver
from gateway.core.dsse import key_id
from gateway.core.errors import ConfigError
from gateway.core.run_context import Principal, PrincipalKind
from gateway.edge.auth import Caller, token_digest
from gateway.loading import loading
from gateway.settings import Settings, load_deployment, load_settings

DEV_APPROVER = "user:dev-approver"

ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", help="gateway.yaml. Default: ./gateway.yaml.")]
PortOption = Annotated[int | None, typer.Option("--port", min=0, max=65535, help="HTTP port, over that of the file.")]


def up(config: ConfigOption = None, port: PortOption = None) -> None:
    """Run for development: makes keys and a token, listens on loopback only, marks every entry `dev`."""
    settings = _settings(config, port)
    if settings.configuration.listen.host not in ("127.0.0.1", "::1", "localhost"):
        raise ConfigError(
            f"up listens on loopback only, not on {settings.configuration.listen.host}",
            hint="Use sealgate serve for other addresses.",
        )
    state = StateFolder(settings.state_dir)
    state.create()
    if not state.keys.exists():
        make_keys(state.keys, origin=settings.log_origin, dev=True)
    with loading():  # only here: it takes a while
        from gateway.cli import process
        from gateway.key_changes import trusted_keys

    check_purpose(trusted_keys(state), dev=True)
    token = _dev_token(state)
    caller = Caller(
        settings.configuration.tenant,
        Principal(PrincipalKind.USER, login_name()),
        (Principal(PrincipalKind.AGENT, "dev-client"),),
        frozenset({"agent", "auditor"}),
    )
    process.run_http(
        settings,
        state,
        callers={token_digest(token): caller},
        local=replace(caller, credential="local"),
        dev=True,
        token=token,
        approvers=(_dev_approver(state),),
    )


def serve(
    config: ConfigOption = None,
    port: PortOption = None,
    stdio: Annotated[
        bool, typer.Option("--stdio", help="Speak MCP on stdin and stdout; relays to a running daemon.")
    ] = False,
) -> None:
    """Run for real: needs keys of its own (sealgate keys new) and callers with tokens (gateway.yaml)."""
    with loading():
        from gateway.cli import process

    if stdio:
        running = StateFolder(load_deployment(config).state_dir)
        if running.owned():  # a relay needs nothing of what the servers need, such as variables of credentials
            process.run_relay(running)
            return
    settings = _settings(config, port)
    state = StateFolder(settings.state_dir)
    if stdio:
        process.run_stdio(settings, state, _local_caller(settings))
        return
    from gateway.admission import configured_callers, names_somebody  # only here: they take a while to load

    if not names_somebody(settings) and not state.api_keys.exists():
        raise ConfigError(
            "nobody may call this gateway: `callers` is empty, and nobody has an API key",
            hint="sealgate keys api new makes a key, sealgate keys token a token.",
        )
    callers = configured_callers(settings)
    process.run_http(settings, state, callers=callers, local=_local_caller(settings))


@targeted
def status(*, target: Target, json: JsonOption = False) -> None:
    """What a running gateway is doing: upstreams, policy, tools."""
    with target.client() as client:
        document = client.get("/api/v1/status")
    if json:
        print_json(document)
        return
    say(
        f"Sealgate {document['version']}{' (development)' if document['dev'] else ''}, log {document['log_origin']}\n"
        f"policy {document['policy']['engine']} {document['policy']['revision']}\n"
        f"tools {document['tools']['callable']} callable, {document['tools']['hidden']} hidden"
    )
    for line in (*_policy_lines(document["policy"]), *_anchor_lines(document["anchors"])):
        say(one_line(line))
    for hook in document["webhooks"]:
        trouble = f": {hook['trouble']}" if hook["trouble"] else ""
        say(one_line(f"webhook {hook['url']} took {hook['delivered']}, failed {hook['failed']} times{trouble}"))
    rows = [
        [
            item["name"],
            item["state"],
            item["protocol"] or "",
            item["sandbox"] or "",
            str(item["tools"]),
            str(item["restarts"]),
            item["reason"] or "",
        ]
        for item in document["upstreams"]
    ]
    columns = ["upstream", "state", "protocol", "sandbox", "tools", "restarts", "why"]
    print_table(columns, rows, empty="No upstream is configured.")


def _policy_lines(policy: dict[str, Any]) -> Iterator[str]:
    """What the policies in force are called, and what is unusual about them."""
    if policy["name"]:
        yield f"  called {policy['name']}"
    for line in rollback_lines(policy["rolled_back"]):
        yield f"  {line}"
    if policy["refused"] is not None:
        yield f"  what is configured now is refused, and does not decide: {one_line(policy['refused'])}"
    if policy["shadow"] is not None:
        yield f"  {shadow_line(policy['shadow'])}"
    log = policy["decision_log"]
    if log is not None and (log["failed"] or log["dropped"]):
        yield f"  decision log: {log['failed']} lines could not be written, {log['dropped']} were dropped"


def _anchor_lines(anchors: dict[str, Any] | None) -> Iterator[str]:
    """How the log is anchored, and every witness that does not stand to it."""
    if anchors is None:
        return
    if anchors["size"] is None:
        yield "anchors nothing is anchored since the start"
    else:
        stamped = f", stamped up to {anchors['stamped']}" if anchors["stamped"] else ""
        yield f"anchors the first {anchors['size']} entries, {anchors['age_seconds']:.0f} s ago{stamped}"
    for witness in anchors["witnesses"]:
        if witness["standing"] != "cosigned":
            yield f"  witness {witness['name']} is {witness['standing']}: {witness['reason']}"
    for where, what in anchors["troubles"].items():
        yield f"  {where}: {what}"


def _settings(config: Path | None, port: int | None) -> Settings:
    settings = load_settings(config, overrides={} if port is None else {"listen.port": port})
    for warning in settings.warnings:
        say(f"warning: {warning}")
    return settings


def _dev_token(state: StateFolder) -> str:
    path = state.dev / "token"
    if not path.exists():
        state.dev.mkdir(mode=0o700, exist_ok=True)
        write_private_text(path, secrets.token_urlsafe(32))
    return read_private_text(path)


def _dev_approver(state: StateFolder) -> Approver:
    """A development approver: its passphrase lies beside the key, so what it signs is advisory."""
    path, passphrase = state.dev / "approver.pem", state.dev / "approver.pass"
    if not path.exists():
        state.dev.mkdir(mode=0o700, exist_ok=True)
        write_private_text(passphrase, secrets.token_urlsafe(16))
        make_approver_key(path, DEV_APPROVER, read_private_text(passphrase).encode())
    key = approver_public_key(read_approver_public_key(path))
    return Approver(read_approver_name(path), key_id(key.public_bytes_raw()), key)


def _local_caller(settings: Settings) -> Caller:
    """Who speaks over stdio: whoever runs the process, as the operating system says."""
    agent = Principal(PrincipalKind.AGENT, "stdio-client")
    user = Principal(PrincipalKind.USER, login_name())
    return Caller(settings.configuration.tenant, user, (agent,), frozenset({"agent"}), credential="local")
