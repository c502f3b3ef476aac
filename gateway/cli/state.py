"""`sealgate state`: migrate, back up, check and restore what a gateway keeps."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway import __version__
from gateway.adapters.anchors.kept import read_kept
from gateway.adapters.clock import SystemClock
from gateway.adapters.keys import load_keys, load_trusted_keys
from gateway.adapters.state import StateFolder
from gateway.adapters.store.sqlite.backup import (
    Manifest,
    copy_database,
    copy_file,
    new_folder,
    read_manifest,
    write_manifest,
)
from gateway.adapters.store.sqlite.check import StateReport, check_file, database_problems
from gateway.adapters.store.sqlite.database import SCHEMA_VERSION, open_for_reading
from gateway.adapters.store.sqlite.migrations import kept_copy, migrate_journal, old_version
from gateway.adapters.store.sqlite.restored import mark_restored
from gateway.adapters.vault import FileVault, migrate_vault
from gateway.cli.render import one_line, print_json, say, stdout, watched
from gateway.cli.revoked import AcceptRevokedOption, accepted_keys, not_accepted, revoked_documents, revoked_lines
from gateway.cli.target import JsonOption, StateOption, state_folder
from gateway.core.errors import ConfigError, KeyFault, StoreFault, VerificationFailed
from gateway.core.trust import KeyRole, TrustedKeys
from gateway.core.verify import Report
from gateway.settings import load_settings

app = typer.Typer(help="What a gateway keeps: migrate, backup, check, restore.", no_args_is_help=True, rich_markup_mode=None)

MAX_REASON = 500
_KEY_FILES = ("entry.pem", "log.pem", "commitment.key", "vault.key")
_NO_VALUES = "DELETE FROM evidence; DELETE FROM decisions"
_NO_KEYS = "UPDATE subject_keys SET wrapped = NULL"

ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", help="gateway.yaml. Default: ./gateway.yaml.")]
KeptOption = Annotated[list[Path] | None, typer.Option("--checkpoint", help="A checkpoint kept elsewhere; may be repeated.")]


@app.command()
def migrate(state: StateOption = None, accept_revoked: AcceptRevokedOption = None) -> None:
    """Bring the journal and the vault of an older version to this one's form. The gateway must be stopped."""
    folder = state_folder(state)
    old_version(folder.journal)  # a newer one is refused before anything is touched
    accepted = _accepted(accept_revoked, folder.keys / "public.json")
    with folder:
        vault = migrate_vault(folder.vault)  # first: the journal's schema tells whether all of it was done
        version = old_version(folder.journal)
        if version is not None:
            trusted = load_trusted_keys(folder.keys / "public.json")
            report = migrate_journal(folder.journal, version, trusted, accept_revoked=accepted, watch=watched)
            _tell(report)
            if not report.ok:
                raise _failed(report, "the journal was not migrated")
            old = kept_copy(folder.journal, version)
            say(f"migrated to schema {SCHEMA_VERSION}; delete the old journal when all is well: {old}")
        elif vault:
            say("migrated the vault")
        else:
            say(f"nothing to do: the journal has schema {SCHEMA_VERSION}")


@app.command()
def backup(
    to: Annotated[Path, typer.Argument(help="The folder to make.")],
    state: StateOption = None,
    config: ConfigOption = None,
    with_keys: Annotated[bool, typer.Option("--with-keys", help="Private keys, too: guard it like the gateway.")] = False,
    without_vault: Annotated[
        bool, typer.Option("--without-vault", help="No stored values and no keys to them: nothing in it needs erasing.")
    ] = False,
    accept_revoked: AcceptRevokedOption = None,
) -> None:
    """Copy the state to a new folder, also while the gateway runs, and check the copy."""
    folder, near = _deployment(state, config)
    if not folder.journal.exists():
        raise StoreFault(f"there is no journal at {folder.journal}", hint="sealgate up makes one.")
    accepted = _accepted(accept_revoked, folder.keys / "public.json")
    made_at = SystemClock().now()
    with new_folder(to) as fresh:
        # The journal before the vault, which has a key before anything is sealed with it; and before the public keys.
        copy_database(folder.journal, fresh / "journal.db", _NO_VALUES if without_vault else "")
        if folder.vault.exists():
            copy_database(folder.vault, fresh / "vault.db", _NO_KEYS if without_vault else "")
        copy_file(folder.keys / "public.json", fresh / "keys" / "public.json")
        for name, path in {"anchored": folder.anchored, "gateway.lock": near.lock}.items():
            if path is not None and path.exists():
                copy_file(path, fresh / name)
        if with_keys:
            for path in [*folder.keys.glob("*"), *folder.dev.glob("*")]:
                if path.is_file() and path.name != "public.json":
                    copy_file(path, fresh / path.relative_to(folder.path))
        report = _checked(StateFolder(fresh), keys_of=folder, kept=(), accepted=accepted)
        if not report.ok:
            _tell(report)
            raise _failed(report, "what was copied does not hold, so there is no backup", "sealgate state check")
        log = _log(report)
        bundle = _keys_of_one_time(fresh / "keys", log.size, private=with_keys)
        about = {"made_at": made_at, "program": __version__, "schema": SCHEMA_VERSION, "values": not without_vault}
        write_manifest(fresh, {**about, "origin": bundle.origin, "log_size": log.size, "log_root": log.root.hex()})
    _tell(report)
    say(
        f"backed up to {to}{'' if with_keys else ', without private keys: keep those of ' + str(folder.keys) + ' elsewhere'}"
    )


@app.command()
def check(
    state: StateOption = None,
    backup: Annotated[
        Path | None, typer.Option("--file", help="Check this backup or copy of a state folder instead.")
    ] = None,
    keys: Annotated[
        Path | None, typer.Option("--keys", help="Public keys to trust (public.json). Default: those beside the journal.")
    ] = None,
    kept: KeptOption = None,
    accept_revoked: AcceptRevokedOption = None,
    json: JsonOption = False,
) -> None:
    """Hold all that is stored against the signed log. Exit 6 where anything is wrong."""
    folder = state_folder(state) if backup is None else StateFolder(backup)
    if backup is not None and (backup / "manifest.json").exists():
        read_manifest(backup)
    public = keys or folder.keys / "public.json"
    accepted = _accepted(accept_revoked, public)
    report = _checked(folder, keys_of=folder, kept=_notes(kept), public=public, accepted=accepted)
    if json:
        print_json(_document(report))
    else:
        _tell(report)
    if not report.ok:
        raise _failed(report, "the state is not what the log says")


@app.command()
def restore(
    backup: Annotated[Path, typer.Argument(help="A folder that `state backup` made.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; the log will say it.")],
    state: StateOption = None,
    config: ConfigOption = None,
    kept: KeptOption = None,
    accept_revoked: AcceptRevokedOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Make a new state folder from a backup. Calls made after it was taken are not known to it."""
    if not reason.strip() or len(reason) > MAX_REASON or not reason.isprintable():
        raise ConfigError(f"--reason is one line, at most {MAX_REASON} characters")
    folder, near = _deployment(state, config)
    manifest = read_manifest(backup)
    if manifest.schema != SCHEMA_VERSION:
        raise StoreFault(
            f"{backup} has schema version {manifest.schema}, and this program works on {SCHEMA_VERSION}",
            hint="Restore it with the version of Sealgate that made it.",
        )
    accepted = _accepted(accept_revoked, backup / "keys" / "public.json")
    notes = _notes(kept)
    anchored = None if near.kept is None else read_kept(near.kept)
    if anchored is not None:
        notes.append(anchored)
    _require_whole(backup, manifest, notes, accepted)
    _make_room(folder)
    if not yes:
        say(one_line(f"the backup of {manifest.made_at} has {manifest.log_size} entries. It knows no call made after that:"))
        typer.confirm("if such a call is made again, its effect happens again. Restore?", abort=True, err=True)
    about = {
        "size": manifest.log_size,
        "root": manifest.log_root,
        "backed_up_at": manifest.made_at,
        "at": SystemClock().now(),
        "reason": reason,
    }
    with new_folder(folder.path) as fresh:
        for name in manifest.files:
            if name != "gateway.lock":
                copy_file(backup / name, fresh / name)
        mark_restored(fresh / "journal.db", manifest.origin, about)
        report = _require_whole(fresh, manifest, notes, accepted)
    _tell(report)
    say(f"restored to {folder.path}; the next start writes so into the log")
    missing = [name for name in _KEY_FILES if not (folder.keys / name).exists()]
    if missing:
        say(f"put the private keys into {folder.keys} before that: {', '.join(missing)}")
    if "gateway.lock" in manifest.files:
        say(f"the pins of the backup are {backup / 'gateway.lock'}: its place is beside gateway.yaml")


@dataclass(frozen=True, slots=True)
class _Near:
    """What a deployment keeps outside its state folder: its pins, and where it keeps the last anchored checkpoint."""

    lock: Path | None = None
    kept: Path | None = None


def _deployment(state: Path | None, config: Path | None) -> tuple[StateFolder, _Near]:
    path = config or Path("gateway.yaml")
    if config is None and (state is not None or not path.exists()):
        return state_folder(state), _Near()
    settings = load_settings(path)
    anchors = settings.configuration.log.anchors
    kept = None if anchors is None or anchors.keep is None else settings.folder / anchors.keep
    return state_folder(state or settings.state_dir), _Near(settings.lock_path, kept)


def _checked(
    folder: StateFolder, *, keys_of: StateFolder, kept: Sequence[str], accepted: frozenset[str], public: Path | None = None
) -> StateReport:
    """Check a state folder, with the vault key of `keys_of` where there is one."""
    if not folder.journal.exists():
        raise StoreFault(f"there is no journal at {folder.journal}", hint="sealgate up makes one.")
    open_for_reading(folder.journal).close()  # of another schema: refused before the vault is
    trusted = load_trusted_keys(public or folder.keys / "public.json")
    anchored = read_kept(folder.anchored)
    damage = database_problems(folder.vault) if folder.vault.exists() else []
    with ExitStack() as stack:
        vault = None
        if not damage and folder.vault.exists() and (keys_of.keys / "vault.key").exists():
            vault = FileVault(folder.vault, load_keys(keys_of.keys).vault_key)
            stack.callback(vault.close)
        notes = [*kept, *([] if anchored is None else [anchored])]
        report = check_file(folder.journal, trusted, kept=notes, vault=vault, accept_revoked=accepted, watch=watched)
    report.problems.extend(damage)
    if folder.vault.exists():
        report.checked.append("vault.db is sound below its tables")
    if vault is None:
        report.checked.append("without vault.key beside it, stored values were not opened")
    return report


def _require_whole(path: Path, manifest: Manifest, kept: list[str], accepted: frozenset[str]) -> StateReport:
    """The report on a folder whose log is the manifest's and lacks nothing of what was kept elsewhere."""
    report = _checked(StateFolder(path), keys_of=StateFolder(path), kept=kept, accepted=accepted)
    log = report.log
    if report.ok and log is not None and (log.size, log.root.hex()) != (manifest.log_size, manifest.log_root):
        report.problems.append("the log is not the one that the manifest names")
    if not report.ok:
        _tell(report)
        hint = "Take a newer backup. Where none has all that was anchored, start a new log: another log.origin and state."
        raise _failed(report, f"{path} cannot be restored", hint)
    return report


def _failed(report: StateReport, what: str, hint: str = "") -> VerificationFailed:
    if report.log is not None and not report.problems:
        return not_accepted(report.log, f"{what}: part of its log counts for nothing, since a key is revoked")
    return VerificationFailed(f"{what}: {len(report.problems)} problem(s)", hint=hint)


def _accepted(given: list[str] | None, public: Path) -> frozenset[str]:
    return accepted_keys(given, load_trusted_keys(public)) if given else frozenset()


def _keys_of_one_time(keys: Path, size: int, *, private: bool) -> TrustedKeys:
    """The bundle that was copied. Nothing could go on from keys that are newer than the log beside them."""
    bundle = load_trusted_keys(keys / "public.json")
    rotated = max(period.since for role in KeyRole for period in bundle.of(role).values()) > size
    try:
        if private and not rotated:
            load_keys(keys)
    except KeyFault:
        rotated = True
    if rotated:
        raise StoreFault(
            "the log and the keys are not of one time: a key was rotated meanwhile, or one of them is an older copy",
            hint="Finish the change with sealgate keys list, then back up again.",
        )
    return bundle


def _make_room(folder: StateFolder) -> None:
    """A used folder is never written over."""
    if folder.path.is_dir() and not any(folder.path.iterdir()):
        folder.path.rmdir()
    if folder.path.exists():
        raise StoreFault(f"{folder.path} is in use", hint="Move it away, or restore to another --state.")


def _notes(paths: list[Path] | None) -> list[str]:
    notes = []
    for path in paths or []:
        note = read_kept(path)
        if note is None:
            raise KeyFault(f"there is no checkpoint at {path}")
        notes.append(note)
    return notes


def _log(report: StateReport) -> Report:
    if report.log is None:
        raise VerificationFailed("the log was not read")
    return report.log


def _tell(report: StateReport) -> None:
    lines = [f"ok: {line}" for line in report.checked] if report.ok else report.problems
    for line in (*lines, *([] if report.log is None else revoked_lines(report.log))):
        stdout.print(one_line(line), markup=False, highlight=False, soft_wrap=True)


def _document(report: StateReport) -> dict[str, Any]:
    log = report.log or Report()
    return {
        "ok": report.ok,
        "entries": log.size,
        "root": log.root.hex(),
        "checked": report.checked,
        "problems": report.problems,
        "revoked": revoked_documents(log),
    }
