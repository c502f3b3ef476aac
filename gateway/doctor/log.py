"""The signed log: whole where it is short or a person wants all of it looked at, else its newest entries and its end."""

from collections.abc import Iterator

from gateway.adapters.anchors.kept import read_kept
from gateway.adapters.store.sqlite.reader import SqliteLog
from gateway.core.checkpoint import read_checkpoint
from gateway.core.dsse import NotVerified
from gateway.core.entry import open_entry
from gateway.core.errors import GatewayError, VerificationFailed
from gateway.core.merkle import leaf_hash
from gateway.core.trust import TrustedKeys
from gateway.core.verify import verify_log
from gateway.doctor.deployment import Deployment
from gateway.doctor.finding import Finding, fail, ok, warn

WHOLE = 5_000
"""A log of at most so many entries is verified as a whole: that takes about a second."""

NEWEST = 1_000
"""How many entries of a longer one are looked at."""


def look(deployment: Deployment, *, whole: int = WHOLE, newest: int = NEWEST) -> Iterator[Finding]:
    """As `sealgate log verify` would, or the newest part of it; with the anchored checkpoint that is kept beside it."""
    state = deployment.state
    if not state.journal.exists():
        return
    trusted = deployment.trusted
    if trusted is None:
        yield fail("log", "it cannot be verified without public.json", "Put the newest copy of the keys folder back.")
        return
    try:
        kept = _kept(deployment)
        log = SqliteLog(state.journal)
    except GatewayError as error:
        yield fail("log", error.message, error.hint or deployment.command("log", "verify", state=True))
        return
    try:
        size, _ = log.head()
        if size <= whole or deployment.full:
            yield _whole(deployment, log, trusted, kept)
        else:
            yield _newest(deployment, log, trusted, (max(0, size - newest), size), kept)
    except VerificationFailed as error:
        yield _broken(deployment, error.message)
    finally:
        log.close()
    anchors = (deployment.status or {}).get("anchors") or {}
    for witness in anchors.get("witnesses", []):
        if witness["standing"] != "cosigned":
            what = f"witness {witness['name']} is {witness['standing']}: {witness['reason']}"
            yield warn("log", what, deployment.command("log", "anchors", state=True))


def _kept(deployment: Deployment) -> list[str]:
    places = [deployment.state.anchored]
    anchors = None if deployment.outline is None else deployment.outline.configuration.log.anchors
    if deployment.outline is not None and anchors is not None and anchors.keep is not None:
        places.append(deployment.outline.folder / anchors.keep)
    return [note for place in places if (note := read_kept(place)) is not None]


def _whole(deployment: Deployment, log: SqliteLog, trusted: TrustedKeys, kept: list[str]) -> Finding:
    report = verify_log(log.entries(), log.checkpoints(), trusted, head=log.head(), kept=kept, snapshot=True, tile=log.tile)
    if report.problems:
        return _broken(deployment, f"{len(report.problems)} problems, the first: {report.problems[0]}")
    if not report.ok:
        return warn("log", report.faults[0], deployment.command("log", "verify", state=True))
    anchored = ", with the anchored checkpoint that is kept" if kept else ""
    return ok("log", f"all {report.size} entries verify{anchored}")


def _newest(deployment: Deployment, log: SqliteLog, trusted: TrustedKeys, span: tuple[int, int], kept: list[str]) -> Finding:
    (wanted, size), keys = span, trusted.by_id()
    for stored in log.entries(wanted):
        try:
            entry = open_entry(stored.entry, keys)
        except NotVerified as error:
            return _broken(deployment, f"entry {stored.index}: {error}")
        if (entry.index, stored.index, leaf_hash(stored.entry)) != (wanted, wanted, stored.leaf):
            return _broken(deployment, f"entry {wanted} is not the one that was written there")
        wanted += 1
    if wanted != size:
        return _broken(deployment, f"it should have {size} entries, and the last one is {wanted - 1}")
    for note in kept:
        anchored = read_checkpoint(note).checkpoint.size
        if anchored > size:
            return _broken(deployment, f"it has {size} entries, and {anchored} were anchored: it was rolled back")
    return ok("log", f"the newest {size - span[0]} of {size} entries verify; --full looks at all of them")


def _broken(deployment: Deployment, what: str) -> Finding:
    verify = deployment.command("log", "verify", state=True)
    restore = deployment.command("state", "restore", "BACKUP", "--reason", "log damaged", config=True)
    return fail(
        "log", f"it is not what was written: {what}", f"{verify} names all of it; then stop the gateway and {restore}"
    )
