"""`sealgate log verify`: is a log, an export of one, or one proven entry what was written?"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.adapters.keys import load_trusted_keys
from gateway.adapters.static_log import StaticLog
from gateway.adapters.store.sqlite.reader import SqliteLog
from gateway.cli.log_anchors import AnchorFindings, find_anchors
from gateway.cli.log_proof import verify_proof
from gateway.cli.render import one_line, print_json, say, stdout, watched
from gateway.cli.revoked import AcceptRevokedOption, accepted_keys, not_accepted, revoked_documents, revoked_lines
from gateway.cli.target import JsonOption, Target, targeted
from gateway.core.errors import ConfigError, GatewayError, VerificationFailed
from gateway.core.ports import LogReader
from gateway.core.signed_answers import SignedAnswers
from gateway.core.verify import Report, verify_log
from gateway.settings.approvers import load_approvers

_MAX_NOTE_BYTES = 1_000_000


@targeted
def verify(
    *,
    target: Target,
    journal: Annotated[
        Path | None, typer.Option("--file", help="Check this journal file instead of the deployment's.")
    ] = None,
    folder: Annotated[Path | None, typer.Option("--dir", help="Check this exported log instead.")] = None,
    proof: Annotated[
        Path | None, typer.Option("--proof", help="Check this proof of one entry instead; needs --key.")
    ] = None,
    key: Annotated[
        list[Path] | None,
        typer.Option("--key", help="With --proof: public.json, a C2SP policy or verifier keys; may be repeated."),
    ] = None,
    keys: Annotated[
        Path | None, typer.Option("--keys", help="Public keys to trust (public.json). Default: the deployment's.")
    ] = None,
    kept: Annotated[
        list[Path] | None, typer.Option("--checkpoint", help="A checkpoint kept elsewhere; may be repeated.")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option("--policy", help="Witnesses that must have cosigned, as a C2SP log policy.")
    ] = None,
    timestamp_ca: Annotated[
        Path | None, typer.Option("--timestamp-ca", help="PEM file: a checkpoint must have a time stamp leading up to it.")
    ] = None,
    approvers: Annotated[
        list[Path] | None,
        typer.Option(
            "--approvers",
            help="Check approvers' signatures, too, by the keys in this gateway.yaml or approver's .json; may be repeated.",
        ),
    ] = None,
    accept_revoked: AcceptRevokedOption = None,
    json: JsonOption = False,
) -> None:
    """Check every signature, hash and number, the order of entries, tiles, checkpoints. Exit 6 where anything is wrong."""
    if sum(source is not None for source in (journal, folder, proof)) > 1:
        raise ConfigError("--file, --dir and --proof are three things to check: give one")
    key = [*(key or []), *([policy] if proof is not None and policy is not None else [])]
    if (proof is None) != (not key):
        raise ConfigError("--proof and --key go together; the keys for a whole log are given by --keys")
    if proof is not None and key:
        if keys is not None or kept or timestamp_ca is not None or approvers:
            raise ConfigError(
                "--keys, --checkpoint, --timestamp-ca and --approvers are for a whole log; a proof has its own checkpoint"
            )
        if accept_revoked:
            raise ConfigError("--accept-revoked is for a whole log; one entry that a revocation disowns proves nothing")
        verify_proof(proof, key, json=json)
        return
    trusted = load_trusted_keys(target.trusted(keys))
    accepted = accepted_keys(accept_revoked, trusted)
    notes = [_read_note(path) for path in kept or []]
    answers = SignedAnswers(one for path in approvers for one in load_approvers(path)) if approvers else None
    with _opened(target, journal, folder) as log:
        found = find_anchors(log, trusted, policy, timestamp_ca)
        head = log.head()
        # The checkpoints' stream is opened before the entries': all of them lie within what is read.
        report = verify_log(
            watched(log.entries(), head[0], "verifying"),
            log.checkpoints(),
            trusted,
            head=head,
            kept=[*notes, *found.notes],
            snapshot=isinstance(log, SqliteLog),
            tile=log.tile,
            accept_revoked=accepted,
            answers=answers,
        )
    _tell(report, found, answers, json=json)
    if report.problems:
        raise VerificationFailed(f"the log is not what was written: {len(report.problems)} problem(s)")
    if not report.ok:
        raise not_accepted(report, "part of the log counts for nothing: its key is revoked from before it on")


@contextmanager
def _opened(target: Target, journal: Path | None, folder: Path | None) -> Iterator[LogReader]:
    if folder is not None:
        yield StaticLog(folder)
    elif journal is not None:
        log = SqliteLog(journal)
        try:
            yield log
        finally:
            log.close()
    else:
        with target.log() as reader:
            yield reader


def _tell(report: Report, found: AnchorFindings, answers: SignedAnswers | None, *, json: bool) -> None:
    if json:
        told = None if answers is None else {"signed": answers.signed, "elicited": answers.elicited}
        print_json({**_document(report), **found.document(), "answers": told})
        return
    if report.ok:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(report.kinds.items()))
        typer.echo(f"OK: {report.size} entries ({kinds}), {report.checkpoints} checkpoints, root {report.root.hex()[:16]}…")
        for line in (*revoked_lines(report), *found.lines(report.size)):
            typer.echo(one_line(line))
        if answers is not None:
            typer.echo(f"answers: {answers.signed} signed by these approvers, {answers.elicited} told by clients")
        left = report.size - report.covered
        if left:
            say(f"the newest {left} entries are under no checkpoint yet, only under their signatures")
        return
    for line in (*report.problems, *revoked_lines(report)):
        stdout.print(one_line(line), markup=False, highlight=False, soft_wrap=True)


def _document(report: Report) -> dict[str, Any]:
    return {
        "ok": report.ok,
        "entries": report.size,
        "root": report.root.hex(),
        "checkpoints": report.checkpoints,
        "kinds": report.kinds,
        "problems": report.problems,
        "revoked": revoked_documents(report),
    }


def _read_note(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_NOTE_BYTES + 1)
        if len(data) > _MAX_NOTE_BYTES:
            raise GatewayError(
                f"{path} is not a checkpoint: it has more than {_MAX_NOTE_BYTES} bytes", code="log.checkpoint_unreadable"
            )
        return data.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise GatewayError(f"cannot read the checkpoint {path}: {error}", code="log.checkpoint_unreadable") from error
