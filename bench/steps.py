"""Where the time of a governed call goes: a gateway in this process, served as `sealgate up` does, with a clock in it.

The same wiring, HTTP app and server as the real daemon; the clock is an Observer (wall time and CPU of the event loop's
thread for each step of the pipeline), plus one step around `Gateway.call` and one around the HTTP app.
Run it as `python -m bench.steps up --config FILE --port PORT`; it leaves its dev token where `sealgate up` does.
GET /bench/reset starts anew, GET /bench/report gives what was counted since.
"""

import argparse
import asyncio
import os
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import uvloop
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from bench.breakdown import CALL, HTTP
from bench.processes import children, cpu_seconds
from gateway.adapters.keys import make_keys, write_private_text
from gateway.adapters.observer import Timings
from gateway.adapters.state import StateFolder
from gateway.core.call import ToolRequest
from gateway.core.conversation import SILENT, Conversation
from gateway.core.outcome import Outcome
from gateway.core.run_context import Principal, PrincipalKind, RunContext
from gateway.edge.api import socket_app
from gateway.edge.auth import Caller, Credentials, TokenTable, token_digest
from gateway.edge.daemon import http_port, http_surface, operator_surfaces, until_stopped
from gateway.edge.door import Door
from gateway.edge.http import allowed, build_app
from gateway.pipeline import Gateway
from gateway.settings import load_settings
from gateway.wiring import assemble


class Clock:
    """An Observer: wall time per step, and the CPU time of the observed thread, which is the event loop's.

    The CPU time of a step is right as long as one call at a time is under way.
    """

    def __init__(self) -> None:
        self.wall = Timings()
        self.cpu: dict[str, float] = defaultdict(float)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure one step."""
        before = time.thread_time()
        try:
            with self.wall.step(name):
                yield
        finally:
            self.cpu[name] += time.thread_time() - before

    def reset(self) -> None:
        """Forget everything."""
        self.wall = Timings()
        self.cpu.clear()


class ClockedGateway(Gateway):
    """A gateway whose whole call is a step as well."""

    async def call(self, run: RunContext, request: ToolRequest, conversation: Conversation = SILENT) -> Outcome:
        with self.observer.step(CALL):
            return await super().call(run, request, conversation)


class Reporting:
    """ASGI: the HTTP app as a step, and the two addresses of the module."""

    def __init__(self, app: ASGIApp, clock: Clock) -> None:
        self._app = app
        self._clock = clock
        self._since: dict[str, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] == "/bench/reset":
            self._clock.reset()
            self._since = _cpu()
            await JSONResponse({})(scope, receive, send)
        elif scope["path"] == "/bench/report":
            await JSONResponse(self._report())(scope, receive, send)
        else:
            with self._clock.step(HTTP):
                await self._app(scope, receive, send)

    def _report(self) -> dict[str, Any]:
        wall = self._clock.wall
        return {
            "steps": {
                name: {"count": wall.counts[name], "wall_s": wall.seconds[name], "cpu_s": self._clock.cpu[name]}
                for name in wall.counts
            },
            "cpu_s": {name: now - self._since.get(name, 0.0) for name, now in _cpu().items()},
        }


def _cpu() -> dict[str, float]:
    """CPU seconds so far: this thread (the event loop's), the journal's writer, all of this process, its helpers."""
    writer = next(thread for thread in threading.enumerate() if thread.name == "sealgate-writer")
    assert writer.ident is not None  # noqa: S101 it runs
    return {
        "loop": time.thread_time(),
        "writer": time.clock_gettime(time.pthread_getcpuclockid(writer.ident)),
        "process": time.process_time(),
        "helpers": sum(map(cpu_seconds, children(os.getpid()))),
    }


async def main(config: Path, port: int) -> None:
    """Serve until stopped."""
    settings = load_settings(config, overrides={"listen.port": port})
    state = StateFolder(settings.state_dir)
    state.create()
    token = secrets.token_urlsafe(32)
    state.dev.mkdir(mode=0o700)
    write_private_text(state.dev / "token", token)
    make_keys(state.keys, origin=settings.log_origin, dev=True)
    death = asyncio.Event()
    clock = Clock()
    actors = (Principal(PrincipalKind.AGENT, "dev-client"),)
    caller = Caller("bench", Principal(PrincipalKind.USER, "bench"), actors, frozenset({"agent"}))
    with state, http_port("127.0.0.1", port) as bound:
        async with assemble(settings, state, dev=True, on_death=lambda fault: death.set(), observer=clock) as ready:
            parts = {part.name: getattr(ready.gateway, part.name) for part in fields(ready.gateway)}
            front = replace(ready.front, gateway=ClockedGateway(**parts))
            api = ready.control.api()
            app = build_app(
                front,
                Door(Credentials(TokenTable({token_digest(token): caller})), allowed("127.0.0.1", port)),
                journal=state.journal,
                changes=ready.control.changes,
                api=api,
                tenant_id=settings.configuration.tenant,
                unready=ready.unready,
            )
            surfaces = operator_surfaces(state, socket_app(api), lambda: ready.front.server(lambda _: caller))
            async with surfaces, http_surface(Reporting(app, clock), bound):
                await until_stopped(death)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=["up"])
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    uvloop.run(main(given.config, given.port))
