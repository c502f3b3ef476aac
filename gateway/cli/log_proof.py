"""`sealgate log prove`, and the check of what it writes: one file that shows, offline, that an entry is in the log."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.adapters.keys import load_trusted_keys
from gateway.cli.log_entries import find_entries, statement, summary
from gateway.cli.log_keys import CheckpointKeys, bundle_keys, load_checkpoint_keys
from gateway.cli.render import one_line, print_json, say, stdout
from gateway.cli.target import Target, targeted
from gateway.core.checkpoint import Checkpoint, read_checkpoint
from gateway.core.dsse import NotVerified
from gateway.core.entry import Kind, open_entry
from gateway.core.errors import GatewayError, VerificationFailed
from gateway.core.merkle import leaf_hash
from gateway.core.ports import LogReader
from gateway.core.proof import inclusion_proof
from gateway.core.tiles import TileName, tile_nodes
from gateway.core.tlog_proof import LogProof, parse_proof
from gateway.core.trust import TrustedKeys, short
from gateway.core.verify import StoredEntry

WAIT_SECONDS = 10.0
_LOOK_SECONDS = 0.05
_MAX_BYTES = 1_000_000


@targeted
def prove(
    entry: Annotated[str, typer.Argument(help="A number, or an envelope id.")],
    out: Annotated[Path | None, typer.Option("--out", help="Write to this file. Default: standard output.")] = None,
    kind: Annotated[Kind | None, typer.Option("--kind", help="Of a call's entries, the one of this kind.")] = None,
    keys: Annotated[
        Path | None, typer.Option("--keys", help="Public keys to trust (public.json). Default: the deployment's.")
    ] = None,
    *,
    target: Target,
) -> None:
    """Write a proof that an entry is in the log (C2SP tlog-proof). It holds the entry and needs no other file to check."""
    trusted = bundle_keys(load_trusted_keys(target.trusted(keys)))
    with target.log() as log:
        found = find_entries(log, entry)
        stored = _chosen(found, entry, kind)
    if len(found) > 1:
        others = ", ".join(f"{one['index']} {one['kind']}" for one in map(summary, found))
        say(one_line(f"proving entry {stored.index}; this call has {others}"))
    proof = _proof(stored, target, trusted)
    try:
        proof.check(trusted.open_note)
    except NotVerified as error:  # nobody must be handed a proof that proves nothing
        raise _damaged(str(error)) from error
    if out is None:
        typer.echo(proof.text(), nl=False)
        return
    try:
        out.write_text(proof.text())
    except OSError as error:
        raise GatewayError(f"cannot write {out}: {error.strerror}") from error
    say(f"proof written to {out}; check it with: sealgate log verify --proof {out} --key public.json")


def verify_proof(path: Path, keys: list[Path], *, json: bool) -> None:
    """Check a proof file with each of `keys`, and print what the entry says. Raises `VerificationFailed`."""
    proof, checkpoint, signer = open_proof(path, keys)
    _print_proven(proof, checkpoint, signer, json=json)


def proven_predicate(path: Path, keys: list[Path]) -> dict[str, Any]:
    """What the entry in a proof file says, once the proof was checked with each of `keys`. Raises `VerificationFailed`."""
    proof, _, _ = open_proof(path, keys)
    predicate: dict[str, Any] = statement(StoredEntry(proof.index, proof.entry, leaf_hash(proof.entry)))["predicate"]
    return predicate


def open_proof(path: Path, keys: list[Path]) -> tuple[LogProof, Checkpoint, str | None]:
    """A proof that holds by each of `keys`, its checkpoint, and who signed the entry where a trust bundle tells."""
    loaded = [load_checkpoint_keys(one) for one in keys]
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise VerificationFailed(f"{path} is not a proof: it has more than {_MAX_BYTES} bytes")
        text = data.decode()
    except OSError as error:
        raise GatewayError(f"cannot read the proof {path}: {error.strerror}", code="log.proof_unreadable") from error
    except UnicodeDecodeError as error:
        raise VerificationFailed(f"{path} is not a proof: {error}") from error
    try:
        proof = parse_proof(text)
        checkpoints = [proof.check(one.open_note) for one in loaded]
        signers = [_signer(proof, one.bundle) for one in loaded if one.bundle is not None]
    except NotVerified as error:
        raise VerificationFailed(f"the proof does not hold: {error}") from error
    return proof, checkpoints[0], signers[0] if signers else None


def _signer(proof: LogProof, bundle: TrustedKeys) -> str:
    """The id of the entry key that signed the entry, in force at its place. Raises `NotVerified`."""
    opened = open_entry(proof.entry, bundle.by_id())
    period = bundle.entry_keys.get(opened.keyid)
    if opened.index != proof.index:
        raise NotVerified(f"the entry states that it is entry {opened.index}, not {proof.index}")
    if period is None or not period.covers_entry(opened.index):
        raise NotVerified(f"the entry is signed by the key {short(opened.keyid)}, which is not in force there")
    if period.revoked is not None and not period.signs_entry(opened.index):
        why = f"it is revoked from {period.revoked.since} on: {period.revoked.reason}"
        raise NotVerified(f"the entry is signed by the key {short(opened.keyid)}, which is not in force there: {why}")
    return opened.keyid


def _print_proven(proof: LogProof, checkpoint: Checkpoint, keyid: str | None, *, json: bool) -> None:
    stored = StoredEntry(proof.index, proof.entry, leaf_hash(proof.entry))
    said, told = statement(stored)["predicate"], summary(stored)
    said = said if isinstance(said, dict) else {}  # without a trust bundle, any bytes may be proven
    run = said.get("run")
    chain = run.get("principal_chain") if isinstance(run, dict) else None
    chain = chain if isinstance(chain, list) and chain else [said.get("approver")]
    who = " > ".join(str(one) for one in chain if one)
    if json:
        document = {**told, "who": who, "origin": checkpoint.origin, "size": checkpoint.size, "entry_key": keyid}
        print_json({"ok": True, **document})
        return
    lines = [f"OK: entry {proof.index} of {checkpoint.origin}, under its checkpoint of {checkpoint.size} entries"]
    fields = ("kind", told["kind"]), ("id", told["id"]), ("at", told["at"]), ("tool", told["what"]), ("who", who)
    lines += [f"  {name:<7} {value}" for name, value in (*fields, ("how", told["end"])) if value]
    if said.get("dev"):
        lines.append("  dev     made for development: it proves nothing")
    lines.append(f"  signed  by the entry key {keyid}" if keyid else "  signed  not checked: give the trust bundle for that")
    for line in lines:
        stdout.print(one_line(line), markup=False, highlight=False, soft_wrap=True)


def _chosen(found: list[StoredEntry], wanted: str, kind: Kind | None) -> StoredEntry:
    """The last one, of this kind if one is given."""
    fitting = [stored for stored in found if kind in (None, summary(stored)["kind"])]
    if not fitting:
        raise GatewayError(f"{wanted} has no entry of kind {kind}", hint=f"sealgate log show {wanted}", code="log.unknown")
    return fitting[-1]


def _proof(stored: StoredEntry, target: Target, keys: CheckpointKeys) -> LogProof:
    """The proof under a checkpoint that covers the entry: a cosigned one that counts, else the newest, once there is."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        alive = target.running()
        with target.log() as log:
            for cosigned in (True, False):
                note = log.checkpoint(cosigned=cosigned)
                if note is None or (size := _size(note)) <= stored.index:
                    continue
                if not cosigned or _counts(note, keys):
                    return LogProof(stored.entry, stored.index, tuple(_hashes(log, stored.index, size)), note)
        if not alive:
            raise GatewayError(
                f"no checkpoint covers entry {stored.index}, and no gateway runs that would sign one",
                hint="Start it: sealgate up or sealgate serve.",
                code="log.not_covered",
            )
        if time.monotonic() > deadline:
            raise GatewayError(
                f"no checkpoint covers entry {stored.index} after {WAIT_SECONDS:.0f} s", code="log.not_covered"
            )
        time.sleep(_LOOK_SECONDS)


def _hashes(log: LogReader, index: int, size: int) -> list[bytes]:
    def read(name: TileName) -> bytes:
        data = log.tile(name)
        if data is None:
            raise _damaged(f"{name.path} is missing")
        return data

    try:
        return inclusion_proof(index, size, tile_nodes(size, read))
    except ValueError as error:
        raise _damaged(str(error)) from error


def _counts(note: str, keys: CheckpointKeys) -> bool:
    """Not where the log's key was revoked since."""
    try:
        keys.open_note(note)
    except NotVerified:
        return False
    return True


def _size(note: str) -> int:
    try:
        return read_checkpoint(note).checkpoint.size
    except NotVerified as error:
        raise _damaged(str(error)) from error


def _damaged(what: str) -> VerificationFailed:
    return VerificationFailed(f"the log is damaged: {what}", hint="sealgate log verify names the first difference.")
