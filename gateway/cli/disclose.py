"""`sealgate log disclose` and `sealgate log erase`: a call's stored values for an auditor, and a person's for nobody."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import orjson
import typer

from gateway.adapters.daemon import DaemonClient
from gateway.adapters.keys import load_keys, load_trusted_keys
from gateway.adapters.state import StateFolder
from gateway.adapters.store.sqlite.database import open_for_reading
from gateway.adapters.store.sqlite.evidence import read_values
from gateway.adapters.vault import FileVault
from gateway.cli.log_proof import proven_predicate
from gateway.cli.render import one_line, pretty, print_json, say, stdout
from gateway.cli.target import JsonOption, Target, login_name, targeted
from gateway.core import wire
from gateway.core.commitment import Missing, Place, commitments
from gateway.core.disclosures import Disclosed, calls_of, check_disclosures, disclosed, disclosure_file
from gateway.core.dsse import NotVerified
from gateway.core.entry import Entry, Kind, open_entry
from gateway.core.errors import ConfigError, GatewayError, StoreFault, VerificationFailed

ERASE_SECONDS = 3600.0
_CALLS = {Kind.INTENT, Kind.OUTCOME, Kind.IN_DOUBT, Kind.DENIED}
MAX_FILE_BYTES = 64 << 20

_WHY = {
    Missing.ERASED.value: "erased: its key was destroyed",
    Missing.NOT_KEPT.value: "no longer kept",
}


@dataclass(frozen=True, slots=True)
class Withheld:
    """A value whose commitment nobody can open: why, and the redacted copy where one is kept."""

    place: Place
    why: str
    copy: dict[str, Any] | None = None


@targeted
def disclose(
    envelope: Annotated[str | None, typer.Argument(help="Envelope id of the call.", show_default=False)] = None,
    name: Annotated[str | None, typer.Option("--field", help="Only this argument, or `result`.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write the disclosures to this file, for the auditor.")] = None,
    check: Annotated[
        Path | None, typer.Option("--check", help="Check such a file instead; needs --proof and --key.")
    ] = None,
    proof: Annotated[Path | None, typer.Option("--proof", help="With --check: the proof of the call's entry.")] = None,
    key: Annotated[
        list[Path] | None,
        typer.Option("--key", help="With --check: public.json, a C2SP policy or verifier keys; may be repeated."),
    ] = None,
    *,
    target: Target,
    json: JsonOption = False,
) -> None:
    """Show a call's arguments and result, each checked against its commitment in the log. Exit 6 where one does not hold."""
    if check is not None:
        if proof is None or not key or envelope is not None or out is not None:
            raise ConfigError("--check FILE goes with --proof and --key, and with nothing else but --field and --json")
        _print(_checked(check, proof, key, name), [], json=json)
        return
    if envelope is None or proof is not None or key:
        raise ConfigError("name the call, or a file with --check", hint="sealgate log list tells the calls' ids.")
    folder = target.folder("values of calls do not leave it by a token.")
    entries = _entries(envelope, target, folder)
    committed = {place: digest for entry in entries for place, digest in commitments(entry.predicate).items()}
    wanted = {place: digest for place, digest in committed.items() if name is None or place[1] == name}
    if not wanted:
        what = "commits to no values" if name is None else f"has no {name!r}"
        raise GatewayError(f"{envelope} {what}", hint=f"sealgate log show {envelope}", code="log.no_values")
    found, withheld = _opened(wanted, _stored(envelope, folder))
    if out is not None:
        _write(out, disclosure_file(envelope, found))
    _print(found, withheld, json=json)


@targeted
def erase(
    subject: Annotated[str, typer.Option("--subject", help="Whose values: TENANT/PRINCIPAL, e.g. default/user:alice.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; it stands in the log, in clear.")],
    by: Annotated[str | None, typer.Option("--by", help="Who erases. Default: your login name.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    *,
    target: Target,
    json: JsonOption = False,
) -> None:
    """Make all stored values of a person or service unreadable for ever. The log keeps its entries and still verifies."""
    folder = target.folder("what is erased cannot be brought back.")
    if not yes:
        typer.confirm(f"Destroy the keys of all stored values of {subject}? Nobody can undo this.", abort=True, err=True)
    asked = {"subject": subject, "reason": reason, "by": by or login_name()}
    if folder.owned():
        with target.client() as client:
            done = client.post("/api/v1/erasures", asked, seconds=ERASE_SECONDS)
    else:
        with folder:
            done = _erase_in(folder, asked)
    if json:
        print_json(done)
        return
    say(f"entry {done['index']} says so: {subject} is erased ({done['rows']} rows of values, {done['requests']} requests)")
    say("backups of vault.db still hold the destroyed keys: destroy those, too")


def _erase_in(folder: StateFolder, asked: dict[str, str]) -> dict[str, Any]:
    from gateway.edge.values import erase as erase_in  # only here: they take a while to load
    from gateway.wiring import opened_journal

    with opened_journal(folder) as journal:
        done = asyncio.run(erase_in(journal, **asked))
    return {"index": done.index, "keys": done.keys, "rows": done.rows, "requests": done.requests}


def _entries(envelope: str, target: Target, folder: StateFolder) -> list[Entry]:
    """The entries about a call, their signatures checked."""
    trusted = load_trusted_keys(folder.keys / "public.json").by_id()
    try:
        with target.log() as log:
            named = [open_entry(stored.entry, trusted) for stored in log.entries_naming(envelope)]
            found = [entry for entry in named if envelope in calls_of(entry.predicate)]
            if not found:
                raise GatewayError(f"the log has no entry {envelope}", hint="sealgate log list", code="log.unknown")
            if found[0].id == envelope and found[0].kind not in _CALLS:
                asked = _approval_id(found[0])
                using = [] if asked is None else [open_entry(one.entry, trusted) for one in log.entries_naming(asked)]
                raise _not_a_call(found[0], using)
    except NotVerified as error:
        raise VerificationFailed(f"an entry of {envelope} does not hold: {error}", hint="sealgate log verify") from error
    return found


def _approval_id(entry: Entry) -> str | None:
    """The approval request that an entry names."""
    approval = entry.predicate.get("approval")
    return str(approval["approval_id"]) if isinstance(approval, dict) and "approval_id" in approval else None


def _not_a_call(entry: Entry, using: list[Entry]) -> GatewayError:
    """What the entry is instead, and where to look. `using`: entries that name the same approval request."""
    asked, about = _approval_id(entry), entry.predicate.get(entry.kind.value)
    about = about if isinstance(about, dict) else {}
    ran = next((one.id for one in using if one.kind is Kind.INTENT and _approval_id(one) == asked), None)
    match entry.kind:
        case Kind.APPROVAL if ran is not None:
            hint = f"The call that ran with this approval: sealgate log disclose {ran}"
        case Kind.APPROVAL:
            hint = f"No call ran with this approval. What it asks for: sealgate approvals show {asked}"
        case Kind.RESOLUTION:
            hint = f"The call that was resolved: sealgate log disclose {about.get('envelope_id')}"
        case Kind.COMPENSATION:
            hint = f"The call that undoes: sealgate log disclose {about.get('by')}; the undone one: {about.get('of')}"
        case _:
            hint = "sealgate log list tells the calls' ids."
    what = "an approval request" if entry.id == asked else f"an entry of the kind {entry.kind}"
    return GatewayError(f"{entry.id} is no call: it is {what}", hint=hint, code="log.no_values")


def _stored(envelope: str, folder: StateFolder) -> dict[str, Any] | None:
    """What is kept of the call: through the daemon, or from the files of a folder that nobody owns."""
    if folder.owned():
        with DaemonClient(folder.control_socket) as client:
            values: dict[str, Any] | None = client.get(f"/api/v1/calls/{quote(envelope, safe='')}/values")["values"]
            return values
    if not folder.vault.exists():
        raise StoreFault(f"there is no vault at {folder.vault}")
    with folder:
        vault = FileVault(folder.vault, load_keys(folder.keys).vault_key)
        db = open_for_reading(folder.journal)
        try:
            kept = read_values(vault, db, envelope).all()
        finally:
            db.close()
            vault.close()
    return None if kept is None else kept.document()


def _opened(wanted: dict[Place, str], stored: dict[str, Any] | None) -> tuple[list[Disclosed], list[Withheld]]:
    """What opens its commitment, and what does not."""
    found: list[Disclosed] = []
    withheld: list[Withheld] = []
    for place in wanted:
        kept = _kept(place, stored)
        if isinstance(kept, str):
            withheld.append(Withheld(place, _WHY[kept]))
        elif kept["disclosure"] is None:
            withheld.append(Withheld(place, f"redacted before it was stored: {', '.join(kept['redacted'])}", kept))
        else:
            try:
                found.append(disclosed(place, kept["disclosure"], wanted))
            except NotVerified as error:
                raise VerificationFailed(f"a stored value was changed: {error}", hint="sealgate state check") from error
    return found, withheld


def _kept(place: Place, stored: dict[str, Any] | None) -> dict[str, Any] | str:
    """One stored value, or why there is none."""
    if stored is None:
        return Missing.NOT_KEPT.value
    values = stored["result"] if place[0] == "result" else stored["arguments"]
    if isinstance(values, str):
        return values
    items: list[dict[str, Any]] = [values] if isinstance(values, dict) else values
    return next((item for item in items if item["name"] == place[1]), Missing.NOT_KEPT.value)


def _checked(path: Path, proof: Path, keys: list[Path], name: str | None) -> list[Disclosed]:
    predicate = proven_predicate(proof, keys)
    try:
        with path.open("rb") as file:
            document = wire.parse(file.read(MAX_FILE_BYTES + 1), max_bytes=MAX_FILE_BYTES)
    except OSError as error:
        raise GatewayError(f"cannot read the disclosures {path}: {error.strerror}") from error
    except wire.Malformed as error:
        raise VerificationFailed(f"{path} is not a disclosure file: {error}") from error
    try:
        found = check_disclosures(document, predicate)
    except NotVerified as error:
        raise VerificationFailed(f"the disclosures do not hold: {error}") from error
    return [one for one in found if name is None or one.place[1] == name]


def _write(path: Path, document: dict[str, Any]) -> None:
    try:
        path.touch(mode=0o600)
        if path.is_file():
            path.chmod(0o600)  # also one that was there before
        path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    except OSError as error:
        raise GatewayError(f"cannot write {path}: {error.strerror}") from error
    say(f"written to {path}; an auditor checks it with: sealgate log disclose --check {path} --proof PROOF --key KEY")


def _print(found: list[Disclosed], withheld: list[Withheld], *, json: bool) -> None:
    if json:
        print_json({"disclosed": [_told(one) for one in found], "withheld": [_held(one) for one in withheld]})
        return
    for line in _lines(found, withheld):
        stdout.print(line, markup=False, highlight=False, soft_wrap=True)


def _told(one: Disclosed) -> dict[str, Any]:
    of, name = one.place
    return {"of": of, "name": name, "value": one.value, "disclosure": one.encoded, "digest": one.digest}


def _held(one: Withheld) -> dict[str, Any]:
    of, name = one.place
    return {"of": of, "name": name, "why": one.why, **({} if one.copy is None else {"redacted_copy": one.copy["value"]})}


def _lines(found: list[Disclosed], withheld: list[Withheld]) -> Iterator[str]:
    for one in found:
        yield _called(one.place)
        yield from ("  " + line for line in pretty(one.value).splitlines())
        yield f"  disclosure  {one_line(one.encoded)}"
        yield f"  digest      {one.digest}, as the log says"
    for left in withheld:
        yield _called(left.place)
        if left.copy is not None:
            yield from ("  " + line for line in pretty(left.copy["value"]).splitlines())
        yield f"  {one_line(left.why)}"


def _called(place: Place) -> str:
    return one_line(" ".join(dict.fromkeys(place)))
