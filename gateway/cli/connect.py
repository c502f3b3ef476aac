"""`sealgate connect`: attach a client to this gateway, by its own configuration file, or take that back."""

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway.adapters.clients import (
    CLIENTS,
    Address,
    Client,
    Link,
    Malformed,
    Program,
    Scope,
    called_url,
    names_of,
    started_gateway,
)
from gateway.adapters.keys import load_trusted_keys
from gateway.adapters.state import StateFolder
from gateway.cli.client_files import ClientName, Opened, malformed, open_file, place_of, secrets_in, show_change, write_asked
from gateway.cli.render import one_line, say
from gateway.core.errors import ConfigError, KeyFault
from gateway.settings import Settings, load_deployment
from gateway.settings.expand import required_variables

TOKEN_VARIABLE = "SEALGATE_TOKEN"  # noqa: S105 - the name of a variable


def connect(
    client: Annotated[ClientName, typer.Argument(help="The client to attach.")],
    config: Annotated[Path | None, typer.Option("--config", "-c", help="gateway.yaml. Default: ./gateway.yaml.")] = None,
    scope: Annotated[
        Scope,
        typer.Option(
            "--scope",
            help="user: everywhere. project: all users of the current folder. local: this user in it (Claude Code).",
        ),
    ] = Scope.USER,
    path: Annotated[
        Path | None, typer.Option("--path", help="The client's file, where it is not at its usual place.")
    ] = None,
    name: Annotated[str, typer.Option("--name", help="What the client calls the gateway.")] = "sealgate",
    http: Annotated[
        bool, typer.Option("--http/--stdio", help="By its address and a token, or as a program that the client starts.")
    ] = False,
    token_variable: Annotated[
        str, typer.Option("--token-variable", help="With --http: the environment variable that holds the token.")
    ] = TOKEN_VARIABLE,
    remove: Annotated[
        bool, typer.Option("--remove", help="Take the server called --name out of the client's file.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the change and write nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Attach a client: shows the change of its configuration file, keeps a copy, asks, writes. Twice changes nothing."""
    which = CLIENTS[client]
    if remove:
        _remove(open_file(which, scope, place_of(which, scope, path)), name, dry_run=dry_run, yes=yes)
        return
    settings = load_deployment(config)
    link = _address(settings, token_variable) if http else _program(settings)
    addition = which.attached(name, link)
    if addition is None:
        raise ConfigError(f"{which.title} takes no server over HTTP from its file", hint="Leave --http out.")
    opened = open_file(which, scope, place_of(which, scope, path))
    try:
        changed = opened.format.put(opened.file.text, addition)
    except Malformed as error:
        raise malformed(opened.file.path, error, which) from error
    present = names_of(which, opened.servers, link)
    if changed == opened.file.text or present:
        say(one_line(f"{which.title} is attached already: {', '.join(present or [name])} in {opened.file.path}"))
    else:
        show_change(opened.file, changed, secrets_in(opened.servers))
        if dry_run:
            say("nothing was written: --dry-run")
            return
        write_asked(opened.file, changed, yes=yes)
    _tell_what_is_left(which, link, settings, opened)


def _remove(opened: Opened, name: str, *, dry_run: bool, yes: bool) -> None:
    try:
        changed = opened.format.drop(opened.file.text, name)
    except Malformed as error:
        raise malformed(opened.file.path, error, opened.client) from error
    if changed == opened.file.text:
        say(one_line(f"{opened.file.path} has no server {name}"))
        return
    show_change(opened.file, changed, secrets_in(opened.servers))
    if dry_run:
        say("nothing was written: --dry-run")
        return
    write_asked(opened.file, changed, yes=yes)
    say(f"{opened.client.title} lets it go once it is started anew")


def _program(settings: Settings) -> Program:
    """What starts this very Sealgate, wherever the client runs it."""
    beside = Path(sys.executable).with_name("sealgate")
    command = str(beside) if beside.exists() else shutil.which("sealgate")
    serve = ("serve", "--stdio", "--config", str(settings.path.absolute()))
    return Program(sys.executable, ("-m", "gateway", *serve)) if command is None else Program(command, serve)


def _address(settings: Settings, variable: str) -> Address:
    listen = settings.configuration.listen
    if listen.port == 0:
        raise ConfigError(
            "listen.port is 0, another port at each start: no client could be told", hint="Name a port in gateway.yaml."
        )
    if not variable.isidentifier() or not variable.isascii():
        raise ConfigError("--token-variable is the name of an environment variable", hint="For example: SEALGATE_TOKEN.")
    return Address(settings.own_url, variable)


def _tell_what_is_left(client: Client, link: Link, settings: Settings, opened: Opened) -> None:
    """How to see that it works, and what it needs for that."""
    state = StateFolder(settings.state_dir)
    if _is_anothers(state):
        if isinstance(link, Program):
            say(one_line(f"the gateway is another user's ({state.path}): over stdio nobody gets there, attach with --http"))
    else:
        _tell_of_the_gateway(client, link, settings, state)
    direct = [
        name
        for name, said in opened.servers.items()
        if started_gateway(said) is None and called_url(said) != settings.own_url
    ]
    if direct:
        say(one_line(f"still reached directly, and not governed: {', '.join(direct)}. Next: sealgate import {client.name}"))
    say(f"check: {client.check}; sealgate doctor looks at the rest")


def _tell_of_the_gateway(client: Client, link: Link, settings: Settings, state: StateFolder) -> None:
    """What must be there before the client starts."""
    from gateway.admission import names_somebody  # only here: it takes a while to load

    try:
        dev = load_trusted_keys(state.keys / "public.json").dev
    except KeyFault:
        dev = not (names_somebody(settings) or state.api_keys.exists())
        say(f"the gateway has no keys yet: sealgate {'up' if dev else 'keys new'} makes them")
    if isinstance(link, Address):
        token = f'"$(cat {shlex.quote(str(state.dev / "token"))})"' if dev else "TOKEN, as sealgate keys api new makes one"
        asks = "VS Code asks for the token" if client.name == "vscode" else f"export {link.variable}={token}"
        say(one_line(f"before you start {client.title}: {asks}"))
        return
    if dev:
        say(one_line(f"it has development keys: run sealgate up --config {settings.path} beside the client"))
    variables = required_variables(settings.layers.values)
    if variables:
        names = ", ".join(variables)
        say(one_line(f"where no gateway runs, {client.title} starts one: it must have {names} in its environment then"))


def _is_anothers(state: StateFolder) -> bool:
    try:
        return state.path.stat().st_uid != os.geteuid()
    except FileNotFoundError:
        return False
    except OSError:  # not even its place can be looked at
        return True
