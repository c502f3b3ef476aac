"""`sealgate log`: read the signed log and check it."""

import re
import time
from base64 import b64decode
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.progress import Progress

from gateway.adapters.keys import load_trusted_keys
from gateway.adapters.store.sqlite.reader import SqliteLog
from gateway.cli.render import one_line, pretty, print_json, print_json_line, print_table, say, stderr, stdout
from gateway.cli.target import JsonOption, StateOption, log_reader, state_folder
from gateway.core.entry import Kind
from gateway.core.errors import GatewayError, VerificationFailed
from gateway.core.ports import LogReader
from gateway.core.verify import Report, StoredEntry, verify_log

app = typer.Typer(help="The signed log: list, show, tail, verify.", no_args_is_help=True, rich_markup_mode=None)

_PROGRESS_FROM = 5_000
_PLACE = re.compile("[0-9]{1,18}")  # fits a 64-bit integer


@app.command("list")
def list_entries(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, newest last.")] = 20,
    kind: Annotated[Kind | None, typer.Option("--kind", help="Only this kind.")] = None,
    state: StateOption = None,
    json: JsonOption = False,
) -> None:
    """The newest entries."""
    with log_reader(state) as log:
        size, _ = log.head()
        start = 0 if kind is not None else max(0, size - limit)
        found = [summary for stored in log.entries(start) if kind in (None, (summary := _summary(stored))["kind"])]
    if json:
        print_json({"entries": found[-limit:]})
        return
    rows = [[str(item["index"]), item["at"], item["kind"], item["what"], item["end"]] for item in found[-limit:]]
    print_table(["#", "at", "kind", "what", "how"], rows, empty="The log has no such entry yet.")


@app.command()
def show(entry: Annotated[str, typer.Argument(help="A number, or an envelope id.")], state: StateOption = None) -> None:
    """One entry whole, as it was signed; all entries of a call for an envelope id."""
    place = int(entry) if _PLACE.fullmatch(entry) else None
    with log_reader(state) as log:
        if place is not None:
            found = [stored for stored in islice(log.entries(place), 1) if stored.index == place]
        else:
            found = [stored for stored in log.entries() if _payload(stored)["predicate"].get("id") == entry]
    if not found:
        raise GatewayError(f"the log has no entry {entry}", hint="sealgate log list", code="log.unknown")
    for stored in found:
        envelope = orjson.loads(stored.entry)
        document = {
            "index": stored.index,
            "leaf_hash": stored.leaf.hex(),
            "signatures": envelope["signatures"],
            "statement": _payload(stored),
        }
        stdout.print(pretty(document), markup=False, highlight=False, soft_wrap=True)


@app.command()
def tail(
    state: StateOption = None,
    json: JsonOption = False,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", "-f", help="Go on with new entries.")] = True,
) -> None:
    """The newest entries and then each new one, one a line, until interrupted."""
    with log_reader(state) as log:
        start = max(0, log.head()[0] - 10)
    try:
        while True:
            with log_reader(state) as log:
                for stored in log.entries(start):
                    _print_line(_summary(stored), json=json)
                    start = stored.index + 1
            if not follow:
                return
            time.sleep(0.5)
    except KeyboardInterrupt:
        return


@app.command()
def checkpoint(state: StateOption = None) -> None:
    """Print the newest signed checkpoint. Keep it elsewhere: with it, a truncated log is found out."""
    with log_reader(state) as log:
        notes = list(log.checkpoints())
    if not notes:
        raise GatewayError("the log has no checkpoint yet", code="log.empty")
    typer.echo(notes[-1][1], nl=False)


@app.command()
def verify(
    state: StateOption = None,
    journal: Annotated[
        Path | None, typer.Option("--file", help="Check this journal file instead of the deployment's.")
    ] = None,
    keys: Annotated[
        Path | None, typer.Option("--keys", help="Public keys to trust (public.json). Default: the deployment's.")
    ] = None,
    kept: Annotated[
        list[Path] | None, typer.Option("--checkpoint", help="A checkpoint kept elsewhere; may be repeated.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Check every signature, hash, number, the order of entries and every checkpoint. Exit 6 where anything is wrong."""
    trusted = load_trusted_keys(keys or state_folder(state).keys / "public.json")
    notes = [_read_note(path) for path in kept or []]
    with _file_reader(journal) if journal is not None else log_reader(state) as log:
        # Checkpoints are read after the head and before the entries: all of them lie within what is read.
        head, stored_notes = log.head(), list(log.checkpoints())
        entries = _watched(log.entries(), head[0])
        snapshot = isinstance(log, SqliteLog)
        report = verify_log(entries, stored_notes, trusted, head=head, kept=notes, snapshot=snapshot)
    if json:
        print_json(_report(report))
    elif report.ok:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(report.kinds.items()))
        typer.echo(f"OK: {report.size} entries ({kinds}), {report.checkpoints} checkpoints, root {report.root.hex()[:16]}…")
        if report.covered < report.size:
            say(
                f"the newest {report.size - report.covered} entries are under no checkpoint yet, only under their signatures"
            )
    for problem in report.problems if not json else ():
        stdout.print(one_line(problem), markup=False, highlight=False, soft_wrap=True)
    if not report.ok:
        raise VerificationFailed(f"the log is not what was written: {len(report.problems)} problem(s)")


@contextmanager
def _file_reader(journal: Path) -> Iterator[LogReader]:
    log = SqliteLog(journal)
    try:
        yield log
    finally:
        log.close()


def _watched(entries: Iterable[StoredEntry], total: int) -> Iterator[StoredEntry]:
    """The same entries, with a progress bar on long logs."""
    if total < _PROGRESS_FROM or not stderr.is_terminal:
        yield from entries
        return
    with Progress(console=stderr, transient=True) as progress:
        task = progress.add_task("verifying", total=total)
        for stored in entries:
            yield stored
            progress.advance(task)


def _report(report: Report) -> dict[str, Any]:
    return {
        "ok": report.ok,
        "entries": report.size,
        "root": report.root.hex(),
        "checkpoints": report.checkpoints,
        "kinds": report.kinds,
        "problems": report.problems,
    }


def _payload(stored: StoredEntry) -> dict[str, Any]:
    """What an entry says, unverified: for reading only."""
    try:
        statement: dict[str, Any] = orjson.loads(b64decode(orjson.loads(stored.entry)["payload"]))
        return {"predicate": {}, **statement}
    except (ValueError, KeyError, TypeError):
        return {"predicate": {}}


def _summary(stored: StoredEntry) -> dict[str, Any]:
    """A line's worth of an entry, whatever stands in it: it may have been changed."""
    said = _payload(stored)["predicate"]
    said = said if isinstance(said, dict) else {}
    capability, approval, call, pin, result = (
        part if isinstance(part := said.get(name), dict) else {}
        for name in ("capability", "approval", "call", "pin", "result")
    )
    named = (capability, "capability_id"), (approval, "capability_id"), (call, "requested_name"), (pin, "capability_id")
    reasons = said.get("reasons")
    begun = "begun" if said.get("kind") == Kind.INTENT else ""
    ends = said.get("event"), result.get("status"), " ".join(map(str, reasons)) if isinstance(reasons, list) else "", begun
    return {
        "index": stored.index,
        "at": str(said.get("recorded_at", "?")),
        "kind": str(said.get("kind", "?")),
        "id": str(said.get("id", "?")),
        "what": next((str(part[key]) for part, key in named if part.get(key)), ""),
        "end": next((str(end) for end in ends if end), ""),
        "dev": said.get("dev"),
    }


def _print_line(summary: dict[str, Any], *, json: bool) -> None:
    if json:
        print_json_line(summary)
    else:
        line = f"{summary['index']:>6}  {summary['at']}  {summary['kind']:<9} {summary['what']}  {summary['end']}"
        stdout.print(one_line(line), markup=False, highlight=False, soft_wrap=True)


def _read_note(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise GatewayError(f"cannot read the checkpoint {path}: {error}", code="log.checkpoint_unreadable") from error
