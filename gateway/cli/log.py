"""`sealgate log`: read the signed log. Its other verbs: `log_verify`, `log_proof`, `log_export`."""

import time
from collections import deque
from typing import Annotated, Any

import typer

from gateway.cli.disclose import disclose, erase
from gateway.cli.log_anchors import anchors
from gateway.cli.log_entries import find_entries, signatures, statement, summary
from gateway.cli.log_export import export
from gateway.cli.log_proof import prove
from gateway.cli.log_verify import verify
from gateway.cli.render import one_line, pretty, print_json, print_json_line, print_table, stdout, visible
from gateway.cli.target import JsonOption, Target, targeted
from gateway.core.entry import Kind
from gateway.core.errors import GatewayError

app = typer.Typer(
    help="The signed log: list, show, tail, verify, prove, export; the values behind it: disclose, erase.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list")
@targeted
def list_entries(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, newest last.")] = 20,
    kind: Annotated[Kind | None, typer.Option("--kind", help="Only this kind.")] = None,
    *,
    target: Target,
    json: JsonOption = False,
) -> None:
    """The newest entries."""
    with target.log() as log:
        size, _ = log.head()
        start = 0 if kind is not None else max(0, size - limit)
        told = (summary(stored) for stored in log.entries(start))
        found = deque((item for item in told if kind in (None, item["kind"])), maxlen=limit)
    if json:
        print_json({"entries": list(found)})
        return
    rows = [[str(item["index"]), item["at"], item["kind"], item["what"], item["end"]] for item in found]
    print_table(["#", "at", "kind", "what", "how"], rows, empty="The log has no such entry yet.")


@app.command()
@targeted
def show(entry: Annotated[str, typer.Argument(help="A number, or an envelope id.")], *, target: Target) -> None:
    """One entry whole, as it was signed; all entries of a call for an envelope id."""
    with target.log() as log:
        found = find_entries(log, entry)
    for stored in found:
        document = {
            "index": stored.index,
            "leaf_hash": stored.leaf.hex(),
            "signatures": signatures(stored),
            "statement": statement(stored),
        }
        stdout.print(pretty(document), markup=False, highlight=False, soft_wrap=True)


@app.command()
@targeted
def tail(
    *,
    target: Target,
    json: JsonOption = False,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", "-f", help="Go on with new entries.")] = True,
) -> None:
    """The newest entries and then each new one, one a line, until interrupted."""
    with target.log() as log:
        start = max(0, log.head()[0] - 10)
    try:
        while True:
            with target.log() as log:
                for stored in log.entries(start):
                    _print_line(summary(stored), json=json)
                    start = stored.index + 1
            if not follow:
                return
            time.sleep(0.5)
    except KeyboardInterrupt:
        return


@app.command()
@targeted
def checkpoint(*, target: Target) -> None:
    """Print the newest signed checkpoint. Keep it elsewhere: with it, a truncated log is found out."""
    with target.log() as log:
        note = log.checkpoint()
    if note is None:
        raise GatewayError("the log has no checkpoint yet", code="log.empty")
    typer.echo(visible(note), nl=False)


for verb in (verify, prove, export, anchors, disclose, erase):
    app.command()(verb)


def _print_line(told: dict[str, Any], *, json: bool) -> None:
    if json:
        print_json_line(told)
    else:
        line = f"{told['index']:>6}  {told['at']}  {told['kind']:<9} {told['what']}  {told['end']}"
        stdout.print(one_line(line), markup=False, highlight=False, soft_wrap=True)
