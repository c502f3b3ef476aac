"""`sealgate keys api`: keys that let callers in. Asks a running gateway, or works on a state folder that nobody owns."""

import os
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar

import typer
from pydantic import TypeAdapter, ValidationError

from gateway.adapters.clock import SystemClock
from gateway.adapters.state import StateFolder
from gateway.cli.render import print_json, print_table, say
from gateway.cli.target import JsonOption, Target, targeted
from gateway.core.api_key import ENTROPY_BYTES, ApiKey, api_key_digest, api_key_id, make_api_key
from gateway.core.errors import ConfigError
from gateway.core.run_context import Principal, principal_named
from gateway.settings.people import Role
from gateway.settings.words import ToolGlob

app = typer.Typer(help="API keys of callers.", no_args_is_help=True, rich_markup_mode=None)

T = TypeVar("T")
_GLOB: TypeAdapter[str] = TypeAdapter(ToolGlob)


@app.command()
@targeted
def new(
    principal: Annotated[str, typer.Option("--principal", help="Who is responsible for the calls, e.g. service:billing.")],
    actor: Annotated[
        list[str] | None,
        typer.Option("--actor", help="Who acts for the principal; again for more, the one that calls last."),
    ] = None,
    role: Annotated[list[Role] | None, typer.Option("--role", help="What it may be used for; again for more.")] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", help="Until when: a time in UTC, or in so many days (90d). Default: never.")
    ] = None,
    tool: Annotated[
        list[str] | None,
        typer.Option(
            "--tool", help="What its holder may know of and call, as a glob (notes__*); again for more. Default: all."
        ),
    ] = None,
    *,
    target: Target,
    json: JsonOption = False,
) -> None:
    """Make an API key and print it, once. Only its SHA-256 is kept."""
    now = SystemClock().now()
    text = make_api_key(os.urandom(ENTROPY_BYTES))
    key = ApiKey(
        id=api_key_id(text) or "",
        sha256=api_key_digest(text),
        principal=_principal(principal),
        actors=tuple(_principal(name) for name in actor or ()),
        roles=frozenset(one.value for one in role or (Role.AGENT,)),
        created_at=now,
        expires_at=None if expires is None else _until(expires, now),
        tools=None if not tool else tuple(map(_glob, tool)),
    )
    folder = target.folder("who has a token must not make others, which would outlive it.")
    if folder.owned():
        with target.client() as client:
            client.post("/api/v1/keys/new", key.document())
    else:
        _on_files(folder, lambda desk: desk.add(key))
    if json:
        print_json({"id": key.id, "key": text})
        return
    say(f"key {key.id} of {key.principal}; it is shown this once:")
    typer.echo(text)


@app.command("list")
@targeted
def list_keys(*, target: Target, json: JsonOption = False) -> None:
    """The API keys, those that are revoked or expired too."""
    if target.running():
        with target.client() as client:
            keys: list[dict[str, Any]] = client.get("/api/v1/keys")["keys"]
    else:
        folder = target.folder("its files are read.")
        from gateway.adapters.keys.api_keys import ApiKeyFile

        now = SystemClock().now()
        keys = [{**key.told(), "state": key.state(now)} for key in ApiKeyFile(folder.api_keys).load().values()]
    if json:
        print_json({"keys": keys})
        return
    rows = [
        [
            key["id"],
            ";".join([key["principal"], *key["actors"]]),
            ",".join(key["roles"]),
            key["state"],
            key["expires_at"] or "",
        ]
        for key in keys
    ]
    print_table(["id", "who", "roles", "state", "expires"], rows, empty="There are no API keys.")


@app.command()
@targeted
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `sealgate keys api list` shows it.")],
    *,
    target: Target,
) -> None:
    """Let a key count no more, from the next request on; what is open with it ends."""
    if re.fullmatch("[0-9a-f]{12}", key_id) is None:
        raise ConfigError("that is no id of an API key", hint="sealgate keys api list")
    if target.running():
        with target.client() as client:
            client.post(f"/api/v1/keys/{key_id}/revoke", {})
    else:
        _on_files(target.folder("its files are changed."), lambda desk: desk.revoke(key_id))
    say(f"key {key_id} counts no more")


def _on_files(folder: StateFolder, change: Callable[[Any], Awaitable[T]]) -> T:
    """Make a change in a folder that nobody owns. The journal takes its entry, so there has to be one."""
    import anyio  # only here: these take a while to load

    from gateway.edge import logs
    from gateway.wiring import api_keys_without_daemon

    logs.configure()

    async def changed() -> T:
        with folder, api_keys_without_daemon(folder) as desk:
            return await change(desk)

    return anyio.run(changed)


def _glob(text: str) -> str:
    try:
        return _GLOB.validate_python(text)
    except ValidationError as error:
        said = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(f"--tool {text} {said}") from error


def _principal(text: str) -> Principal:
    try:
        return principal_named(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is no principal", hint="Write kind:id, for example service:billing.") from error


def _until(text: str, now: str) -> str:
    """A time in the form that times are compared in. Raises `ConfigError`."""
    try:
        days = re.fullmatch("([0-9]{1,5})d", text)
        if days is not None:
            moment = datetime.now(UTC) + timedelta(days=int(days[1]))
        else:
            moment = datetime.fromisoformat(text)
            if moment.utcoffset() != timedelta(0):
                raise ValueError("not in UTC")
        until = f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"{text!r} is no time in UTC", hint="Write for example 2027-01-01T00:00:00Z or 90d.") from error
    if until <= now:
        raise ConfigError(f"{text} is over already", hint="Write a time to come.")
    return until
