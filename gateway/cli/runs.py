"""`sealgate runs`: calls whose end is unknown, and how their doubt ends."""

import os
import stat
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from gateway.adapters.daemon import DaemonClient
from gateway.adapters.upstream.spec import MAX_RESULT_BYTES
from gateway.cli.render import one_line, print_json, print_table, say, stdout
from gateway.cli.target import Here, JsonOption, Target, login_name, targeted
from gateway.core import wire
from gateway.core.errors import ConfigError, GatewayError

app = typer.Typer(
    help="Calls in doubt: list them, say how they ended, ask the tool that knows.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

LONGEST_CALL_SECONDS = 3700.0  # the longest deadline_seconds an upstream may have, and some

EnvelopeArgument = Annotated[str, typer.Argument(help="Envelope id of the call in doubt.", show_default=False)]


@app.command("in-doubt")
@targeted
def in_doubt(*, target: Target, json: JsonOption = False) -> None:
    """Calls that were sent and whose end is unknown, oldest first. None of them runs again by itself."""
    with target.client() as client:
        document = client.get("/api/v1/runs/in-doubt")
    if json:
        print_json(document)
        return
    rows = [
        [
            call["envelope_id"],
            call["tool"],
            " → ".join(call["principal_chain"]) or call["subject"],
            call["since"],
            call["why"] or "",
            call["reconcile"] or "",
        ]
        for call in document["in_doubt"]
    ]
    print_table(["envelope", "tool", "who", "since", "why", "can tell"], rows, empty="No call is in doubt.")


@app.command()
@targeted
def resolve(
    envelope: EnvelopeArgument,
    verdict: Annotated[str, typer.Option("--as", help="completed: it was done. failed: it certainly was not.")],
    reason: Annotated[str, typer.Option("--reason", help="How you found out; it is signed into the log.")],
    result: Annotated[
        Path | None, typer.Option("--result", help="File with the MCP tool result that retries get, as JSON.")
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", help="Who found out. Default: your login name; over --url the token's principal.")
    ] = None,
    *,
    target: Target,
) -> None:
    """Say how a call in doubt ended, once. After `failed` its key is free, and the same call runs again."""
    if verdict not in ("completed", "failed"):
        raise typer.BadParameter("write completed or failed", param_hint="--as")
    body: dict[str, Any] = {"verdict": verdict, "reason": reason}
    if isinstance(target, Here):
        body["by"] = by or login_name()
    elif by is not None:
        raise ConfigError("--by is not for --url: the gateway names the token's principal", hint="Leave it out.")
    if result is not None:
        body["result"] = _read_result(result)
    with target.client() as client:
        client.post(_path(envelope, "resolve"), body)
    if verdict == "failed":
        say(f"recorded: {envelope} was not done. The same call runs when it is made again.")
    else:
        told = "gets this result" if result is not None else "is told that it was done and its result is not known"
        say(f"recorded: {envelope} was done. The same call, made again, {told}; it does not run.")


@app.command()
@targeted
def reconcile(
    envelope: Annotated[str | None, typer.Argument(help="Envelope id of the call in doubt.", show_default=False)] = None,
    every: Annotated[bool, typer.Option("--all", help="Every call in doubt that some tool can tell about.")] = False,
    *,
    target: Target,
    json: JsonOption = False,
) -> None:
    """Ask the registered tool (`reconcile` in gateway.yaml) how a call ended. Exit 1 where a call stays in doubt."""
    if every == (envelope is not None):
        raise typer.BadParameter("name one call, or --all", param_hint="ENVELOPE")
    with target.client() as client:
        found = [_ask(client, one) for one in (_askable(client) if envelope is None else [envelope])]
    if json:
        print_json({"reconciled": found})
    else:
        for one in found:
            line = f"{one['envelope_id']}  {one['verdict'] or 'in doubt'}: {one['why']}"
            stdout.print(one_line(line), markup=False, highlight=False, soft_wrap=True)
        if not found:
            say("No call is in doubt that a tool can tell about.")
    if any(one["verdict"] is None for one in found):
        raise typer.Exit(1)


def _askable(client: DaemonClient) -> list[str]:
    calls = client.get("/api/v1/runs/in-doubt")["in_doubt"]
    return [str(call["envelope_id"]) for call in calls if call["reconcile"] is not None]


def _ask(client: DaemonClient, envelope: str) -> dict[str, Any]:
    return client.post(_path(envelope, "reconcile"), {}, seconds=LONGEST_CALL_SECONDS)


def _path(envelope: str, verb: str) -> str:
    return f"/api/v1/runs/{quote(envelope, safe='')}/{verb}"


def _read_result(path: Path) -> Any:
    """The JSON in a file; no larger than any upstream may answer. A pipe is refused: it may never end."""
    try:
        with open(path, "rb", opener=_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise GatewayError(f"{path} is no regular file", hint="Write the result to one.", code="resolution.result")
            data = file.read(MAX_RESULT_BYTES + 1)
        if len(data) > MAX_RESULT_BYTES:
            raise GatewayError(
                f"the result {path} is too large: no server may answer with more than {MAX_RESULT_BYTES} bytes",
                hint="Leave the result out.",
                code="resolution.result",
            )
        return wire.parse(data, max_bytes=MAX_RESULT_BYTES, max_keys=wire.MAX_ANSWER_KEYS)
    except OSError as error:
        raise GatewayError(f"cannot read the result {path}: {error.strerror}", code="resolution.result") from error
    except wire.Malformed as error:
        raise GatewayError(f"the result {path} is no acceptable JSON: {error}", code="resolution.result") from error


def _at_once(path: str, flags: int) -> int:
    """Open without waiting for somebody who writes into a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)
