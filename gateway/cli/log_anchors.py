"""`sealgate log anchors`, and what `log verify` asks of anchors: cosignatures by a policy, a time stamp by a CA."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from gateway.adapters.anchors.policy import load_log_policy
from gateway.cli.log_keys import bundle_keys, log_verifier_keys
from gateway.cli.render import print_json, print_table, say
from gateway.cli.target import JsonOption, Target, targeted
from gateway.core.anchor import AnchoredCheckpoint, AnchorKind
from gateway.core.dsse import NotVerified
from gateway.core.errors import GatewayError, VerificationFailed
from gateway.core.log_policy import Anchored, LogPolicy
from gateway.core.ports import LogReader
from gateway.core.trust import TrustedKeys

MAX_TRIED = 1000
_SHOWN = 20

T = TypeVar("T")


@targeted
def anchors(
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write the newest cosigned checkpoint, and the newest stamp with its text, here."),
    ] = None,
    *,
    target: Target,
    json: JsonOption = False,
) -> None:
    """The newest cosignatures and time stamps over the log's checkpoints, as stored: log verify --policy checks them."""
    if out is not None:
        with target.log() as log:
            _write(log, out)
        return
    with target.log() as log:
        found = [anchor for checkpoint in islice(log.anchored(), _SHOWN) for anchor in checkpoint.anchors]
    if json:
        documents = [{"size": one.size, "kind": one.kind.value, "who": one.who, "at": one.at} for one in found]
        print_json({"anchors": documents})
        return
    rows = [[str(one.size), one.kind.value, one.who, one.at] for one in found]
    print_table(["entries", "kind", "by", "stored at"], rows, empty="Nothing anchors this log: log.anchors in gateway.yaml.")


def _write(log: LogReader, folder: Path) -> None:
    """`cosigned`: a note; `stamp.tsr`: a DER TimeStampResp over the file `stamped`. Each is left out where there is none."""
    files: dict[str, bytes] = {}
    for found in islice(log.anchored(), MAX_TRIED):
        for anchor in found.anchors:
            if anchor.kind is AnchorKind.COSIGNATURE:
                files.setdefault("cosigned", found.cosigned.encode())
            elif "stamp.tsr" not in files:
                files |= {"stamp.tsr": anchor.proof, "stamped": _text(found.note)}
        if len(files) == 3:
            break
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
    except OSError as error:
        raise GatewayError(f"cannot write to {folder}: {error.strerror}") from error
    say(f"written to {folder}: {', '.join(sorted(files)) or 'nothing, since nothing anchors this log'}")


def _text(note: str) -> bytes:
    """What is signed of a note: all of it up to the empty line."""
    text, _, _ = note.partition("\n\n")
    return f"{text}\n".encode()


@dataclass(frozen=True, slots=True)
class _Stamped:
    note: str
    size: int
    at: datetime


@dataclass(frozen=True, slots=True)
class AnchorFindings:
    """What was asked for and found. `notes`: the anchored checkpoints, which the log must be an extension of."""

    cosigned: Anchored | None = None
    stamped: _Stamped | None = None
    notes: list[str] = field(default_factory=list)

    def lines(self, size: int) -> Iterable[str]:
        """For people; `size` is that of the log."""
        if self.cosigned is not None:
            names = ", ".join(sorted(one.key.name for one in self.cosigned.cosignatures))
            who = f"cosigned by {names}" if names else "cosigned by nobody, as the policy's quorum none allows"
            yield f"anchored: the first {self.cosigned.checkpoint.size} of {size} entries, {who}"
        if self.stamped is not None:
            yield f"stamped: the first {self.stamped.size} of {size} entries, at {self.stamped.at:%Y-%m-%dT%H:%M:%SZ}"

    def document(self) -> dict[str, Any]:
        """For programs."""
        told: dict[str, Any] = {}
        if self.cosigned is not None:
            who = sorted(one.key.id for one in self.cosigned.cosignatures)
            told["anchored"] = {"size": self.cosigned.checkpoint.size, "cosigned_by": who}
        if self.stamped is not None:
            told["stamped"] = {"size": self.stamped.size, "at": self.stamped.at.isoformat()}
        return told


def find_anchors(log: LogReader, trusted: TrustedKeys, policy: Path | None, authority: Path | None) -> AnchorFindings:
    """The newest checkpoint that meets the policy in file `policy`, and the newest stamped one by the CA in `authority`.

    Raises:
        ConfigError: one of the files is wrong.
        VerificationFailed: there is no such checkpoint.
    """
    findings = AnchorFindings()
    if policy is not None:
        rules = load_log_policy(policy)
        note, cosigned = _newest(log, lambda found: _cosigned(found, trusted, rules), f"a quorum by {policy}")
        findings = replace(findings, cosigned=cosigned, notes=[*findings.notes, note])
    if authority is not None:
        check = _stamp_check(authority, trusted)
        stamped = _newest(log, check, f"a time stamp that leads up to {authority}")
        findings = replace(findings, stamped=stamped, notes=[*findings.notes, stamped.note])
    return findings


def _newest(log: LogReader, check: Callable[[AnchoredCheckpoint], T], what: str) -> T:
    """What `check` makes of the newest anchored checkpoint that it does not raise for."""
    first = ""
    for found in islice(log.anchored(), MAX_TRIED):
        try:
            return check(found)
        except (NotVerified, VerificationFailed) as error:
            first = first or f"; the newest anchored one: {error}"
    raise VerificationFailed(
        f"no checkpoint of this log has {what}{first}", hint="sealgate log anchors lists what there is."
    )


def _cosigned(found: AnchoredCheckpoint, trusted: TrustedKeys, rules: LogPolicy) -> tuple[str, Anchored]:
    size = bundle_keys(trusted).open_note(found.note).size
    if not rules.logs:  # then the bundle alone says which log it is
        rules = replace(rules, logs=tuple(log_verifier_keys(trusted, size)))
    return found.cosigned, rules.open(found.cosigned)


def _stamp_check(authority: Path, trusted: TrustedKeys) -> Callable[[AnchoredCheckpoint], _Stamped]:
    """How a stamp is checked."""
    from gateway.adapters.anchors.stamp import check_stamp, load_authority  # only here: X.509 takes a while to load

    roots = load_authority(authority)

    def check(found: AnchoredCheckpoint) -> _Stamped:
        checkpoint = bundle_keys(trusted).open_note(found.note)
        for anchor in found.anchors:
            if anchor.kind is AnchorKind.RFC3161:
                return _Stamped(found.note, checkpoint.size, check_stamp(anchor.proof, checkpoint, roots).at)
        raise NotVerified("it has no time stamp")

    return check
