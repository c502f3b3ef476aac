"""The process that `up` and `serve` run. Apart from the commands, since what it imports takes a while to load."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import nullcontext
from typing import Any

import typer
import uvloop

from gateway import __version__
from gateway.adapters.state import StateFolder
from gateway.admission import admission
from gateway.cli.render import one_line, say
from gateway.core.answer import Approver
from gateway.core.errors import StoreFault
from gateway.edge import logs
from gateway.edge.api import socket_app
from gateway.edge.auth import Caller
from gateway.edge.daemon import http_port, http_surface, operator_surfaces, relay, until_stopped
from gateway.edge.door import Door
from gateway.edge.http import allowed, build_app
from gateway.edge.lines import own_stdio
from gateway.edge.lines import serve as serve_lines
from gateway.edge.peers import peer_surface
from gateway.settings import Settings
from gateway.wiring import Assembled, assemble


def run_http(
    settings: Settings,
    state: StateFolder,
    *,
    callers: Mapping[str, Caller],
    local: Caller,
    dev: bool = False,
    token: str | None = None,
    approvers: tuple[Approver, ...] = (),
) -> None:
    """Serve HTTP and the sockets until stopped. `local` is who speaks over the socket for stdio clients."""
    _run(_http(settings, state, callers, local, dev=dev, token=token, approvers=approvers))


def run_stdio(settings: Settings, state: StateFolder, local: Caller) -> None:
    """Serve one client on stdin and stdout, and the sockets, until it leaves."""
    _run(_stdio(settings, state, local))


def run_relay(state: StateFolder) -> None:
    """Relay stdin and stdout to the daemon that owns the state folder."""
    _run(_relay(state))


async def _http(
    settings: Settings,
    state: StateFolder,
    callers: Mapping[str, Caller],
    local: Caller,
    *,
    dev: bool,
    token: str | None,
    approvers: tuple[Approver, ...],
) -> int:
    listen, death = settings.configuration.listen, asyncio.Event()
    with state, http_port(listen.host, listen.port) as bound:
        port: int = bound.getsockname()[1]
        async with (
            assemble(settings, state, dev=dev, dev_approvers=approvers, on_death=_setting(death)) as ready,
            admission(settings, callers, ready.control.api_keys) as admitted,
        ):
            security = allowed(listen.host, port, listen.allowed_hosts, listen.allowed_origins)
            api = ready.control.api()
            app = build_app(
                ready.front,
                Door(admitted.credentials, security, peers=admitted.peers, resource=admitted.resource),
                journal=state.journal,
                changes=ready.control.changes,
                api=api,
                tenant_id=settings.configuration.tenant,
                unready=ready.unready,
                api_keys=admitted.api_keys,
            )
            surfaces = operator_surfaces(state, socket_app(api), lambda: ready.front.server(lambda _: local))
            local_processes = nullcontext() if admitted.unix is None else peer_surface(app, admitted.unix)
            async with surfaces, http_surface(app, bound), local_processes:
                _announce(listen.host, port, ready, token)
                await until_stopped(death)
    return 1 if death.is_set() else 0


async def _stdio(settings: Settings, state: StateFolder, local: Caller) -> int:
    death = asyncio.Event()
    with state:
        async with assemble(settings, state, dev=False, on_death=_setting(death)) as ready:
            surfaces = operator_surfaces(state, socket_app(ready.control.api()), lambda: ready.front.server(lambda _: local))
            async with surfaces, own_stdio() as stream:
                served = asyncio.ensure_future(serve_lines(ready.front.server(lambda _: local), stream))
                stopped = asyncio.ensure_future(until_stopped(death))
                await asyncio.wait({served, stopped}, return_when=asyncio.FIRST_COMPLETED)
                for task in (served, stopped):
                    task.cancel()
                ends = await asyncio.gather(served, stopped, return_exceptions=True)
                for end in ends:
                    if isinstance(end, Exception):
                        raise end
    return 1 if death.is_set() else 0


async def _relay(state: StateFolder) -> int:
    async with own_stdio() as stream:
        await relay(stream, state)
    return 0


def _run(work: Coroutine[Any, Any, int]) -> None:
    logs.configure()
    code = uvloop.run(work)
    if code:
        raise typer.Exit(code)


def _setting(death: asyncio.Event) -> Callable[[StoreFault], None]:
    """What the journal's thread calls when it can go on no longer."""
    loop = asyncio.get_running_loop()

    def died(fault: StoreFault) -> None:
        loop.call_soon_threadsafe(death.set)

    return died


def _announce(host: str, port: int, ready: Assembled, token: str | None) -> None:
    catalog = ready.catalogue.current()
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}/mcp"
    shown = token or "$TOKEN"
    lines = [
        f"Sealgate {__version__} is up" + (" for development: loopback only, every entry is marked dev" if token else ""),
        f"  MCP      {url}",
        f'  attach   claude mcp add --transport http sealgate {url} --header "Authorization: Bearer {shown}"',
        f"  tools    {len(catalog.capabilities)} callable, {len(catalog.hidden)} hidden (sealgate tools list says why)",
    ]
    lines += [f"  down     {item.name}: {item.reason}" for item in ready.upstreams.status() if item.state != "up"]
    if ready.in_doubt:
        lines.append(f"  in doubt {ready.in_doubt} call(s) were cut off: sealgate runs in-doubt")
    lines.append(
        "  next     make demo, in another terminal; or sealgate approvals watch" if token else "  next     sealgate status"
    )
    for line in lines:
        say(one_line(line))
