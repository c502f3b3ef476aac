"""Clients on this machine: whether they lead to this gateway, to what is not there any more, or around it."""

import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gateway.adapters.clients import (
    CLIENTS,
    Client,
    Machine,
    Malformed,
    Moved,
    Scope,
    Started,
    called_url,
    read_entry,
    started_gateway,
    without_values,
)
from gateway.adapters.edited_file import EditedFile
from gateway.core.errors import ConfigError
from gateway.doctor.deployment import Deployment
from gateway.doctor.finding import Finding, fail, ok, warn
from gateway.settings.client_blocks import refusal

ANSWER_SECONDS = 2.0

_REFERENCE = re.compile(r"\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-[^}]*)?\}")
_LOCAL = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True, eq=False)
class _File:
    """What a client's file says of one scope. `machine` has the folder of the project in question."""

    client: Client
    scope: Scope
    machine: Machine
    path: Path
    servers: Mapping[str, dict[str, Any]]

    def connect(self, deployment: Deployment, *words: str) -> str:
        """The `sealgate connect` that is about this file."""
        where = ["--scope", str(self.scope)] if self.scope is not Scope.USER else []
        if self.client.path(self.scope, deployment.machine) != self.path:
            where = ["--path", str(self.path)]
        return deployment.command("connect", self.client.name, *where, *words, config="--remove" not in words)


def look(deployment: Deployment) -> Iterator[Finding]:
    """Every server in every client's file: the user's, and those of the current project and of gateway.yaml's folder."""
    files, attached = [], set()
    for found in dict.fromkeys(_files(deployment)):
        if isinstance(found, Finding):
            yield found
            continue
        files.append(found)
        for name, said in found.servers.items():
            for finding in _leading(deployment, found, name, said):
                attached.add(found.client.name)
                yield finding
    for file in files:
        for name, said in file.servers.items():
            yield from _around(deployment, file, name, said, attached=file.client.name in attached)
    if not attached and deployment.serves:
        yield ok("clients", "no client on this machine leads to this gateway; those on others cannot be seen")
    elif not attached:
        yield warn(
            "clients",
            "no client on this machine leads to this gateway",
            deployment.command("connect", "claude-code", config=True),
        )


def _files(deployment: Deployment) -> Iterator[_File | Finding]:
    here = deployment.machine
    for client in CLIENTS.values():
        for scope in client.places:
            folders = [here.folder, deployment.config.absolute().parent] if scope is Scope.PROJECT else [here.folder]
            for machine in (replace(here, folder=folder) for folder in dict.fromkeys(folders)):
                path = client.path(scope, machine)
                if path is not None and path.exists():
                    yield _read(client, scope, machine, path)


def _read(client: Client, scope: Scope, machine: Machine, path: Path) -> _File | Finding:
    try:
        servers = client.format_of(scope, machine).servers(EditedFile.read(path).text)
    except Malformed as error:
        what = f"{client.title} cannot read {path}:{error.line}:{error.column}: {error.problem}"
        return warn("clients", what, f"Correct it, or take a copy: ls {shlex.quote(str(path))}*.bak")
    except ConfigError as error:
        return warn("clients", f"{client.title}: {error.message}", error.hint or "Make it readable.")
    return _File(client, scope, machine, path, servers)


def _leading(deployment: Deployment, file: _File, name: str, said: Mapping[str, Any]) -> Iterator[Finding]:
    """What is wrong with an entry that leads to a gateway; nothing where it leads elsewhere."""
    where = f"{file.client.title}, {name} in {file.path}"
    again = file.connect(deployment, "--name", name)
    started, url = started_gateway(said), called_url(said)
    if started is not None:
        yield _started(deployment, where, again, started)
    elif url is not None and deployment.outline is not None:
        own = deployment.outline.own_url
        if url == own:
            yield _token(deployment, where, said, file, name)
        elif urlsplit(url).hostname in _LOCAL and urlsplit(url).path == "/mcp" and "sealgate" in name.casefold():
            what = f"{where}: it calls {url}, and this gateway listens at {own}"
            yield fail("clients", what, file.connect(deployment, "--http", "--name", name))


def _started(deployment: Deployment, where: str, again: str, started: Started) -> Finding:
    if shutil.which(started.command) is None:
        return fail("clients", f"{where}: the program {started.command} is not there any more", again)
    if started.config is None:
        return warn("clients", f"{where}: it names no gateway.yaml, so it takes that of the folder it starts in", again)
    config = Path(os.path.realpath(started.config))
    if not config.is_file():
        return fail("clients", f"{where}: {started.config} is not there any more", again)
    if config != Path(os.path.realpath(deployment.config)):
        return ok("clients", f"{where}: leads to another gateway, that of {started.config}")
    keys = deployment.trusted
    if deployment.status is None and (keys is None or keys.dev):
        return warn(
            "clients",
            f"{where}: it has nothing to relay to, and starts no gateway on development keys",
            deployment.command("up", config=True),
        )
    return ok("clients", f"{where}: leads to this gateway")


def _token(deployment: Deployment, where: str, said: Mapping[str, Any], file: _File, name: str) -> Finding:
    """Whether the entry's token is one of ours. It is tried, where the gateway runs: nobody else can tell."""
    written, client = _authorization(said), file.client
    if written is None:
        if deployment.outline is not None and deployment.outline.configuration.auth.oauth is not None:
            return ok("clients", f"{where}: leads to this gateway; {client.title} signs in by itself")
        return fail("clients", f"{where}: it sends no token", file.connect(deployment, "--http", "--name", name))
    if "${input:" in written:
        return ok("clients", f"{where}: leads to this gateway; {client.title} asks for the token")
    unset = [name for name in _REFERENCE.findall(written) if not os.environ.get(name)]
    new = _new_token(deployment)
    if unset:
        return warn(
            "clients",
            f"{where}: {unset[0]} is not set here; it must be where {client.title} starts",
            f"export {unset[0]}={new}",
        )
    header = _REFERENCE.sub(lambda match: os.environ[match[1]], written)
    if deployment.status is None:
        return ok("clients", f"{where}: leads to this gateway, which does not run: its token was not tried")
    if _refused(str(called_url(said)), header):
        names = _REFERENCE.findall(written)
        fix = (
            f"export {names[0]}={new}"
            if names
            else f"Write ${{SEALGATE_TOKEN}} in its place, and export SEALGATE_TOKEN={new}"
        )
        return fail("clients", f"{where}: the gateway does not take its token", fix)
    if header == written:
        return warn(
            "clients",
            f"{where}: leads to this gateway, with the token itself in the file",
            "Write ${SEALGATE_TOKEN} in its place, or attach it by stdio.",
        )
    return ok("clients", f"{where}: leads to this gateway")


def _authorization(said: Mapping[str, Any]) -> str | None:
    """The Authorization header as the client's file has it. Codex' forms are put in the others' words."""
    variable = said.get("bearer_token_env_var")
    if isinstance(variable, str):
        return f"Bearer ${{{variable}}}"
    for key in ("headers", "http_headers"):
        headers = said.get(key)
        for name, value in headers.items() if isinstance(headers, dict) else ():
            if name.casefold() == "authorization" and isinstance(value, str):
                return value
    return None


def _refused(url: str, authorization: str) -> bool:
    """Whether the gateway says so. What is sent is no request, so that nothing comes of it."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=ANSWER_SECONDS)
    try:
        connection.request("POST", parts.path, b"{}", {"Authorization": authorization, "Content-Type": "application/json"})
        return connection.getresponse().status == 401
    except (OSError, HTTPException, ValueError):
        return False  # `state` and `upstreams` tell what does not answer
    finally:
        connection.close()


def _new_token(deployment: Deployment) -> str:
    token = deployment.state.dev / "token"
    return f'"$(cat {shlex.quote(str(token))})"' if token.exists() else "TOKEN, as sealgate keys api new makes one"


def _around(deployment: Deployment, file: _File, name: str, said: Mapping[str, Any], *, attached: bool) -> Iterator[Finding]:
    """A server that the client reaches directly, though it is behind the gateway, or though the client has the gateway."""
    own = None if deployment.outline is None else deployment.outline.own_url
    if started_gateway(said) is not None or (own is not None and called_url(said) == own):
        return
    entry = read_entry(name, said, file.client, file.scope, file.machine)
    if entry.off:
        return
    behind = _same(deployment, name, entry.server)
    if behind is not None:
        yield warn(
            "clients",
            f"{file.client.title} reaches {name} directly, around the gateway, which has it as {behind}",
            file.connect(deployment, "--remove", "--name", name),
        )
    elif attached:
        scope = [] if file.scope is Scope.USER else ["--scope", str(file.scope)]
        into = [] if deployment.config == Path("gateway.yaml") else ["--into", str(deployment.config)]
        command = deployment.command("import", file.client.name, *scope, *into, "--only", name)
        if refusal(entry.server) is not None:
            command = file.connect(deployment, "--remove", "--name", name)
        yield warn("clients", f"{file.client.title} reaches {name} directly: it is not governed", command)


def _same(deployment: Deployment, name: str, server: dict[str, Any]) -> str | None:
    """The server behind the gateway that is this one."""
    forms = [_identity(server), _identity(without_values(name, server, Moved()))]
    layers = None if deployment.outline is None else deployment.outline.layers
    written = {} if layers is None else layers.at(("mcpServers",), {})
    for ours, block in written.items() if isinstance(written, dict) else ():
        if isinstance(block, dict) and _identity(block) in forms:
            return str(ours)
    return None


def _identity(server: Mapping[str, Any]) -> tuple[str, ...]:
    """What makes two servers the same one: what is started, or where it is."""
    url = server.get("url")
    if isinstance(url, str):
        return ("url", url.partition("?")[0].rstrip("/"))
    args = server.get("args", [])
    return ("command", str(server.get("command")), *(str(one) for one in (args if isinstance(args, list) else [])))
