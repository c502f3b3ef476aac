"""`sealgate up`, `serve` and `status`: run a gateway, and look at a running one."""

import asyncio
import getpass
import os
import secrets
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer
import uvloop

from gateway import __version__
from gateway.adapters.keys import (
    approver_public_key,
    make_approver_key,
    make_keys,
    read_approver_name,
    read_approver_public_key,
    read_private_text,
    write_private_text,
)
from gateway.adapters.state import StateFolder
from gateway.cli.render import one_line, print_json, print_table, say
from gateway.cli.target import JsonOption, StateOption
from gateway.cli.target import daemon as daemon_client
from gateway.core.approval import Approver
from gateway.core.dsse import key_id
from gateway.core.errors import ConfigError
from gateway.core.run_context import Principal, PrincipalKind
from gateway.edge.auth import Caller, TokenTable, token_digest
from gateway.edge.daemon import http_surface, operator_surfaces, relay, until_stopped
from gateway.edge.http import build_app
from gateway.edge.lines import own_stdio
from gateway.edge.lines import serve as serve_lines
from gateway.edge.mcp import build_server
from gateway.settings import Settings, load_settings
from gateway.wiring import Assembled, assemble

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
    token = _dev_token(state)
    caller = Caller(
        settings.configuration.tenant,
        Principal(PrincipalKind.USER, _login()),
        (Principal(PrincipalKind.AGENT, "dev-client"),),
        frozenset({"agent"}),
    )
    run = _serve_http(settings, state, dev=True, callers={token_digest(token): caller}, token=token)
    _run(run)


def serve(
    config: ConfigOption = None,
    port: PortOption = None,
    stdio: Annotated[
        bool, typer.Option("--stdio", help="Speak MCP on stdin and stdout; relays to a running daemon.")
    ] = False,
) -> None:
    """Run for real: needs keys of its own (sealgate keys new) and callers with tokens (gateway.yaml)."""
    settings = _settings(config, port)
    state = StateFolder(settings.state_dir)
    if stdio:
        _run(_relay(state) if state.owned() else _serve_stdio(settings, state))
        return
    callers = {
        caller.token_sha256: Caller(
            settings.configuration.tenant,
            _principal(caller.principal),
            tuple(map(_principal, caller.actors)),
            frozenset(caller.roles),
        )
        for caller in settings.configuration.callers
    }
    if not callers:
        raise ConfigError("nobody may call this gateway: `callers` is empty", hint="sealgate keys token makes a token.")
    _run(_serve_http(settings, state, dev=False, callers=callers, token=None))


def status(state: StateOption = None, json: JsonOption = False) -> None:
    """What a running gateway is doing: upstreams, policy, tools."""
    with daemon_client(state) as client:
        document = client.get("/api/v1/status")
    if json:
        print_json(document)
        return
    say(
        f"Sealgate {document['version']}{' (development)' if document['dev'] else ''}, log {document['log_origin']}\n"
        f"policy {document['policy']['engine']} {document['policy']['revision']}\n"
        f"tools {document['tools']['callable']} callable, {document['tools']['hidden']} hidden"
    )
    rows = [
        [
            item["name"],
            item["state"],
            item["protocol"] or "",
            str(item["tools"]),
            str(item["restarts"]),
            item["reason"] or "",
        ]
        for item in document["upstreams"]
    ]
    print_table(["upstream", "state", "protocol", "tools", "restarts", "why"], rows, empty="No upstream is configured.")


async def _serve_http(
    settings: Settings, state: StateFolder, *, dev: bool, callers: dict[str, Caller], token: str | None
) -> int:
    death, died = asyncio.Event(), _told_of_death()
    with state:
        approvers = (_dev_approver(state),) if dev else ()
        async with assemble(settings, state, dev=dev, dev_approvers=approvers, on_death=died(death)) as ready:
            app = build_app(
                ready.gateway,
                TokenTable(callers),
                port=settings.configuration.listen.port,
                allowed_hosts=settings.configuration.listen.allowed_hosts,
                allowed_origins=settings.configuration.listen.allowed_origins,
                unready=ready.unready,
            )
            stdio_caller = next(iter(callers.values())) if dev else _local_caller(settings)
            surfaces = operator_surfaces(
                state, ready.control.app(), lambda: build_server(ready.gateway, lambda _: stdio_caller)
            )
            async with surfaces, http_surface(app, settings.configuration.listen.host, settings.configuration.listen.port):
                _announce(settings, ready, token)
                await until_stopped(death)
    return 1 if death.is_set() else 0


async def _serve_stdio(settings: Settings, state: StateFolder) -> int:
    death, died = asyncio.Event(), _told_of_death()
    caller = _local_caller(settings)
    with state:
        async with assemble(settings, state, dev=False, on_death=died(death)) as ready:
            surfaces = operator_surfaces(state, ready.control.app(), lambda: build_server(ready.gateway, lambda _: caller))
            async with surfaces, own_stdio() as stream:
                served = asyncio.ensure_future(serve_lines(build_server(ready.gateway, lambda _: caller), stream))
                stopped = asyncio.ensure_future(until_stopped(death))
                await asyncio.wait({served, stopped}, return_when=asyncio.FIRST_COMPLETED)
                for task in (served, stopped):
                    task.cancel()
                await asyncio.gather(served, stopped, return_exceptions=True)
    return 1 if death.is_set() else 0


async def _relay(state: StateFolder) -> int:
    async with own_stdio() as stream:
        await relay(stream, state)
    return 0


def _run(work: Coroutine[Any, Any, int]) -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(colors=False) if sys.stderr.isatty() else structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    code = uvloop.run(work)
    if code:
        raise typer.Exit(code)


def _told_of_death() -> Any:
    loop = asyncio.get_running_loop()

    def telling(death: asyncio.Event) -> Any:
        return lambda fault: loop.call_soon_threadsafe(death.set)

    return telling


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
    return Caller(settings.configuration.tenant, Principal(PrincipalKind.USER, _login()), (agent,), frozenset({"agent"}))


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid-{os.getuid()}"


def _principal(text: str) -> Principal:
    kind, _, name = text.partition(":")
    return Principal(PrincipalKind(kind), name)


def _announce(settings: Settings, ready: Assembled, token: str | None) -> None:
    catalog = ready.catalogue.current()
    url = f"http://{settings.configuration.listen.host}:{settings.configuration.listen.port}/mcp"
    shown = token or "$TOKEN"
    lines = [
        f"Sealgate {__version__} is up" + (" for development: loopback only, every entry is marked dev" if token else ""),
        f"  MCP      {url}",
        f'  attach   claude mcp add --transport http sealgate {url} --header "Authorization: Bearer {shown}"',
        f"  tools    {len(catalog.capabilities)} callable, {len(catalog.hidden)} hidden (sealgate tools list says why)",
    ]
    lines += [f"  down     {item.name}: {item.reason}" for item in ready.upstreams.status() if item.state != "up"]
    if ready.in_doubt:
        lines.append(f"  in doubt {ready.in_doubt} call(s) were cut off: sealgate log list --kind in_doubt")
    lines.append(
        "  next     make demo, in another terminal; or sealgate approvals watch" if token else "  next     sealgate status"
    )
    for line in lines:
        say(one_line(line))
