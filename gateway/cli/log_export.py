"""`sealgate log export`: the log as static files, for auditors and for any web server."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.adapters.keys import load_trusted_keys
from gateway.adapters.static_log import StaticLog
from gateway.cli.log_keys import CheckpointKeys, bundle_keys, log_verifier_keys
from gateway.cli.render import say, watched
from gateway.cli.target import Target, targeted
from gateway.core.checkpoint import Checkpoint
from gateway.core.dsse import NotVerified
from gateway.core.errors import GatewayError, VerificationFailed
from gateway.core.ports import LogReader
from gateway.core.proof import consistency_proof, tree_root, verify_consistency
from gateway.core.tiles import TileName, tile_names, tile_nodes

_NOT_ITS_OWN = "sealgate log verify names the first difference."
_NEW_FOLDER = "Where a key was revoked since, or it is another log's: export into a new folder."


@targeted
def export(
    folder: Annotated[Path, typer.Argument(help="Where to. A folder that holds an earlier export is brought up to date.")],
    keys: Annotated[
        Path | None, typer.Option("--keys", help="Public keys to trust (public.json). Default: the deployment's.")
    ] = None,
    *,
    target: Target,
) -> None:
    """Write the log as static files (C2SP tlog-tiles) with the public keys. A second run adds only what is new."""
    bundle = target.trusted(keys)
    trusted = load_trusted_keys(bundle)
    log_keys = bundle_keys(trusted)
    static = StaticLog(folder)
    static.create()
    with target.log() as log:
        cosigned, note = log.checkpoint(cosigned=True), log.checkpoint()  # in this order: the newest covers the other
        if note is None:
            raise GatewayError("the log has no checkpoint yet", code="log.empty")
        checkpoint = _opened(note, log_keys, "the log's own checkpoint")
        before = _earlier(static, log, checkpoint, log_keys)
        names = list(tile_names(checkpoint.size, before))
        for name in watched(names, len(names), "exporting", from_count=100):
            static.add(name, _present(log, name))
    static.replace("public.json", bundle.read_bytes())
    static.replace("log.vkey", "".join(f"{key.text}\n" for key in log_verifier_keys(trusted, checkpoint.size)).encode())
    if cosigned is not None:
        static.replace("cosigned", cosigned.encode())
    static.replace("checkpoint", note.encode())
    for name in tile_names(before):
        if name.partial:
            static.forget_partial(name)
    say(f"{checkpoint.size} entries in {folder}, {checkpoint.size - before} of them new; {len(names)} files written")


def _earlier(static: StaticLog, log: LogReader, checkpoint: Checkpoint, keys: CheckpointKeys) -> int:
    """How many entries are exported already. The log must begin with them, and have the root its checkpoint states."""
    node = tile_nodes(checkpoint.size, lambda name: _present(log, name))
    try:
        if tree_root(checkpoint.size, node) != checkpoint.root:
            raise VerificationFailed("the log's tiles do not have the root its checkpoint states", hint=_NOT_ITS_OWN)
        note = static.checkpoint()
        if note is None:
            return 0
        old = _opened(note, keys, f"the checkpoint in {static.folder}", hint=_NEW_FOLDER)
        if old.size > checkpoint.size:
            raise VerificationFailed(
                f"{static.folder} holds {old.size} entries, and the log's newest checkpoint {checkpoint.size}: it was cut",
                hint="Restore the newest copy of the log.",
            )
        proof = consistency_proof(old.size, checkpoint.size, node)
    except ValueError as error:
        raise VerificationFailed(f"the log's tiles are damaged: {error}", hint=_NOT_ITS_OWN) from error
    if not verify_consistency(old.size, checkpoint.size, old.root, checkpoint.root, proof):
        raise VerificationFailed(f"the log does not begin with the {old.size} entries that {static.folder} holds")
    return old.size


def _opened(note: str, keys: CheckpointKeys, whose: str, *, hint: str = "") -> Checkpoint:
    try:
        return keys.open_note(note)
    except NotVerified as error:
        raise VerificationFailed(f"{whose} is not to be trusted: {error}", hint=hint) from error


def _present(log: LogReader, name: TileName) -> bytes:
    data = log.tile(name)
    if data is None:
        raise VerificationFailed(f"the log has no {name.path}, which its checkpoint needs", hint=_NOT_ITS_OWN)
    return data
