"""The tool servers: as a running gateway sees them, or whether they could be started and reached from here."""

import os
import shlex
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.adapters.upstream.program import find_scripts
from gateway.adapters.upstream.spec import AgentSpec, AnySpec, HttpSpec, OpenApiSpec, StdioSpec
from gateway.doctor.deployment import Deployment
from gateway.doctor.finding import Finding, fail, ok, warn
from gateway.settings import Settings

CONNECT_SECONDS = 2.0


def look(deployment: Deployment) -> Iterator[Finding]:
    """One finding for each server."""
    running = {one["name"]: one for one in (deployment.status or {}).get("upstreams", [])}
    specs = {} if deployment.settings is None else {spec.name: spec for spec in deployment.settings.upstream_specs()}
    for name in dict.fromkeys([*specs, *running]):
        told, spec = running.get(name), specs.get(name)
        if told is not None and told["state"] == "up":
            yield ok("upstreams", f"{name} is up, with {told['tools']} tools")
            continue
        trouble = (
            None if spec is None or deployment.settings is None else _trouble(spec, _written(deployment.settings, name))
        )
        if trouble is not None:
            yield fail("upstreams", f"{name}: {trouble[0]}", trouble[1])
        elif told is None and deployment.status is not None:
            yield warn(
                "upstreams", f"{name} is not known to the running gateway: it was added later", "Restart the gateway."
            )
        elif told is not None and told["state"] == "starting":
            yield warn("upstreams", f"{name} is being started", "sealgate doctor, in a moment")
        elif told is not None:
            yield fail(
                "upstreams",
                f"{name} is {told['state']}: {told['reason'] or 'no reason is known'}",
                "Start its command by hand, and see what it says; the gateway's log has the end of its stderr",
            )
        else:
            yield ok("upstreams", f"{name} is there")


@dataclass(frozen=True, slots=True)
class _Written:
    """Where the file says what a server is: the place of its folder, program, script and address."""

    cwd: str
    command: str
    args: str
    url: str


def _written(settings: Settings, name: str) -> _Written:
    if name in settings.configuration.functions:
        at = f"functions.{name}"
        return _Written(at, f"{at}.python", f"{at}.module", at)
    if name in settings.configuration.openapi:
        at = f"openapi.{name}"
        return _Written(at, at, f"{at}.document", f"{at}.base_url")
    if name in settings.configuration.agents:
        at = f"agents.{name}"
        return _Written(at, at, at, f"{at}.card")
    at = f"mcpServers.{name}"
    return _Written(f"{at}.cwd", f"{at}.command", f"{at}.args", f"{at}.url")


def _trouble(spec: AnySpec, written: _Written) -> tuple[str, str] | None:
    """Why it cannot be used, and what to do."""
    if isinstance(spec, StdioSpec):
        return _program(spec, written)
    if isinstance(spec, OpenApiSpec) and not spec.fetched and not os.path.isfile(spec.document):
        return f"its document {spec.document} is not there", f"Correct {written.args}, or put the document there."
    return _address(spec, written)


def _program(spec: StdioSpec, written: _Written) -> tuple[str, str] | None:
    """Why it cannot be started, and what to do."""
    if spec.cwd is not None and not os.path.isdir(spec.cwd):
        return (
            f"its folder {spec.cwd} is not there",
            f"Correct {written.cwd}, or: mkdir -p {shlex.quote(spec.cwd)}",
        )
    if shutil.which(spec.command, path=os.environ.get("PATH", os.defpath)) is None:
        return (
            f"there is no program {spec.command}",
            f"Install it, or correct {written.command}: a whole path needs no PATH.",
        )
    missing = next((path for path in find_scripts(spec.args, spec.cwd or ".") if not os.path.exists(path)), None)
    if missing is not None:
        return f"its script {missing} is not there", f"Correct {written.args}, or put the script back."
    return None


def _address(spec: HttpSpec | OpenApiSpec | AgentSpec, written: _Written) -> tuple[str, str] | None:
    """Why it cannot be reached, and what to do."""
    host, port = spec.place
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        return f"the name {host} leads nowhere: {error}", f"Correct {written.url}, or the name service."
    try:
        socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        return f"nobody answers at {host}:{port}: {error}", f"Start that server, or correct {written.url}."
    return None
