"""The tool servers: as a running gateway sees them, or whether they could be started and reached from here."""

import os
import shlex
import shutil
import socket
from collections.abc import Iterator

from gateway.adapters.upstream.program import find_scripts
from gateway.adapters.upstream.spec import HttpSpec, OpenApiSpec, StdioSpec
from gateway.doctor.deployment import Deployment
from gateway.doctor.finding import Finding, fail, ok, warn

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
        trouble = None if spec is None else _program(spec) if isinstance(spec, StdioSpec) else _address(spec)
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


def _program(spec: StdioSpec) -> tuple[str, str] | None:
    """Why it cannot be started, and what to do."""
    if spec.cwd is not None and not os.path.isdir(spec.cwd):
        return (
            f"its folder {spec.cwd} is not there",
            f"Correct mcpServers.{spec.name}.cwd, or: mkdir -p {shlex.quote(spec.cwd)}",
        )
    if shutil.which(spec.command, path=os.environ.get("PATH", os.defpath)) is None:
        return (
            f"there is no program {spec.command}",
            f"Install it, or correct mcpServers.{spec.name}.command: a whole path needs no PATH.",
        )
    missing = next((path for path in find_scripts(spec.args, spec.cwd or ".") if not os.path.exists(path)), None)
    if missing is not None:
        return f"its script {missing} is not there", f"Correct mcpServers.{spec.name}.args, or put the script back."
    return None


def _address(spec: HttpSpec | OpenApiSpec) -> tuple[str, str] | None:
    """Why it cannot be reached, and what to do."""
    host, port = spec.place
    key = f"mcpServers.{spec.name}.url" if isinstance(spec, HttpSpec) else f"openapi.{spec.name}.base_url"
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        return f"the name {host} leads nowhere: {error}", f"Correct {key}, or the name service."
    try:
        socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        return f"nobody answers at {host}:{port}: {error}", f"Start that server, or correct {key}."
    return None
