"""`sealgate import`: the servers of a client, put behind the gateway."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.adapters.clients import CLIENTS, Moved, Scope, called_url, masked, read_entry, started_gateway, without_values
from gateway.adapters.edited_file import EditedFile
from gateway.cli.client_files import Opened, guessed, open_file, place_of, secrets_in, show_change, this_machine, write_asked
from gateway.cli.render import one_line, say
from gateway.core.errors import ConfigError
from gateway.settings import load_deployment
from gateway.settings.client_blocks import accepted_name, refusal
from gateway.settings.layers import SERVER_BLOCKS
from gateway.settings.merge import NotMerged, block_text, with_servers
from gateway.settings.yaml_source import Unreadable, parse_document


@dataclass(slots=True)
class _Plan:
    """What comes in: `servers` as gateway.yaml will have them, by their names there; `names` in the client's file."""

    servers: dict[str, dict[str, Any]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    moved: Moved = field(default_factory=Moved)
    asked: list[str] = field(default_factory=list)


def import_servers(
    source: Annotated[str, typer.Argument(help="A client (claude-code, cursor, …), or a file in the form of one.")],
    into: Annotated[Path, typer.Option("--into", help="The gateway.yaml that they are added to.")] = Path("gateway.yaml"),
    scope: Annotated[
        Scope,
        typer.Option(
            "--scope",
            help="As that of connect: which of the client's servers.",
        ),
    ] = Scope.USER,
    only: Annotated[list[str] | None, typer.Option("--only", help="Only this server; may be repeated.")] = None,
    keep_secrets: Annotated[
        bool, typer.Option("--keep-secrets", help="Copy secrets as they are written, instead of ${VAR}.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the change and write nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Add a client's servers to gateway.yaml: shows the change, keeps a copy, asks, writes. Those that are there stay."""
    opened = _opened(source, scope)
    file = EditedFile.read(into.absolute())
    present = _present(file)
    plan = _plan(opened, present, only, _own_url(file), keep_secrets=keep_secrets)
    if not plan.servers:
        say(one_line(f"{opened.file.path} has no server to add to {into}"))
        return
    try:
        changed = with_servers(file.text, plan.servers)
    except NotMerged as error:
        raise ConfigError(
            f"{into} has a form that servers cannot be added to without changing the rest",
            hint="Run sealgate config validate; then add them by hand:\nmcpServers:\n" + block_text(plan.servers)
            if not keep_secrets
            else "Run sealgate config validate, then add them by hand.",
        ) from error
    secrets = secrets_in(present) | frozenset(plan.moved.values.values())
    show_change(file, changed, secrets)
    _tell_what_is_hidden(opened, plan, secrets)
    if dry_run:
        say("nothing was written: --dry-run")
        return
    write_asked(file, changed, yes=yes)
    _tell_what_is_left(opened, plan, into, scope, keep_secrets=keep_secrets)


def _opened(source: str, scope: Scope) -> Opened:
    client = CLIENTS.get(source)
    if client is not None:
        opened = open_file(client, scope, place_of(client, scope, None))
    else:
        path = Path(source)
        if not path.exists():
            raise ConfigError(f"{source} is no client and no file", hint=f"Clients: {', '.join(CLIENTS)}.")
        opened = open_file(guessed(path), None, path.absolute())
    if not opened.file.exists:
        raise ConfigError(f"{opened.file.path}: there is no such file", hint="Name the file, or try --scope project.")
    return opened


def _present(file: EditedFile) -> Mapping[str, Any]:
    """The upstreams of all kinds that gateway.yaml has. A broken file is not changed."""
    try:
        document = parse_document(file.text.encode(), tabs=file.path.suffix == ".json")
    except Unreadable as error:
        mark, text = error.fault
        raise ConfigError(f"{file.path}:{mark.line}:{mark.column}: {text}", hint="sealgate config validate") from error
    value = {} if document is None else document.root.plain()
    blocks = [value.get(block) for block in SERVER_BLOCKS] if isinstance(value, dict) else []
    return {name: one for servers in blocks if isinstance(servers, dict) for name, one in servers.items()}


def _own_url(file: EditedFile) -> str | None:
    try:
        return load_deployment(file.path).own_url
    except ConfigError:  # it may not be there yet; `config validate` tells the rest
        return None


def _plan(
    opened: Opened, present: Mapping[str, Any], only: list[str] | None, own_url: str | None, *, keep_secrets: bool
) -> _Plan:
    plan, machine = _Plan(), this_machine()
    unknown = [name for name in only or () if name not in opened.servers]
    if unknown:
        raise ConfigError(f"{opened.file.path} has no server {', '.join(unknown)}")
    for name, said in opened.servers.items():
        if only and name not in only:
            continue
        if started_gateway(said) is not None or (own_url is not None and called_url(said) == own_url):
            say(one_line(f"{name}: is Sealgate itself; left out"))
            continue
        entry = read_entry(name, said, opened.client, opened.scope, machine)
        if entry.off and not only:
            say(one_line(f"{name}: is switched off in the client; left out. --only {name} takes it all the same"))
            continue
        moved = plan.moved if not keep_secrets else Moved()
        server = without_values(name, entry.server, moved)
        if keep_secrets:
            plan.moved.values |= {f"{name}.{variable}": value for variable, value in moved.values.items()}
            server = entry.server
        twin = next((other for other, block in present.items() if block in (server, entry.server)), None)
        if twin is not None:
            say(one_line(f"{name}: is there already, as {twin}; left alone"))
            continue
        nearest = accepted_name(name, ())
        if nearest in present:
            say(one_line(f"{name}: gateway.yaml has another server called {nearest}; both are left alone"))
            continue
        why = refusal(server)
        if why is not None:
            say(one_line(f"{name}: gateway.yaml does not take it; left out. {masked(why)}"))
            continue
        chosen = accepted_name(name, [*present, *plan.servers])
        if chosen != name:
            say(one_line(f"{name}: is called {chosen} here"))
        for note in entry.notes:
            say(one_line(f"{name}: {note}"))
        plan.servers[chosen], plan.names[chosen] = server, name
        plan.asked += [variable for variable in entry.asked if variable not in plan.asked]
    return plan


def _tell_what_is_hidden(opened: Opened, plan: _Plan, secrets: frozenset[str]) -> None:
    """Where more than secrets was hidden: a file may call a command a token, so that nobody sees it."""
    for name, server in plan.servers.items():
        rest = json.dumps(without_values(name, server, Moved()), ensure_ascii=False)
        if masked(rest, secrets) != rest:
            say(one_line(f"{name}: more than its secrets is hidden above. Read {opened.file.path} before you agree"))


def _tell_what_is_left(opened: Opened, plan: _Plan, into: Path, scope: Scope, *, keep_secrets: bool) -> None:
    if not keep_secrets:
        for variable, place in plan.moved.places.items():
            say(one_line(f"set {variable} where the gateway runs: its value is {place} in {opened.file.path}"))
    for variable in plan.asked:
        say(one_line(f"set {variable} where the gateway runs: {opened.client.title} asks a person for it"))
    config = "" if into == Path("gateway.yaml") else f" {into}"
    say(
        one_line(
            f"next: say of each tool what it is, under tools: in {into}; then sealgate config validate{config}, "
            "and once the gateway runs: sealgate tools list, sealgate tools approve --all"
        )
    )
    which = (
        f" --path {shlex.quote(str(opened.file.path))}"
        if opened.scope is None
        else ""
        if scope is Scope.USER
        else f" --scope {scope}"
    )
    for name in plan.names.values():
        command = f"sealgate connect {opened.client.name}{which} --remove --name {shlex.quote(name)}"
        say(one_line(f"{opened.client.title} still reaches {name} directly, too. When it works: {command}"))
