"""The gateway's keys: all there, of one time, for their owner only, and made for what they are used for."""

import shlex
import stat
from collections.abc import Iterator

from gateway.adapters.keys import load_keys
from gateway.adapters.keys.change import cut_off
from gateway.adapters.keys.reach import check_out_of_reach
from gateway.core.errors import ConfigError, KeyFault
from gateway.core.trust import KeyRole
from gateway.doctor.deployment import Deployment
from gateway.doctor.finding import Finding, fail, ok, warn

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_PUBLIC = ("public.json", "public.next.json")


def look(deployment: Deployment) -> Iterator[Finding]:
    """Each file, then the ring of them, then approvers' keys within reach."""
    folder, dev = deployment.state.keys, deployment.state.dev
    if not folder.exists():
        if deployment.state.journal.exists():
            yield fail(
                "keys", f"{folder} is gone, and the log was signed with it", "Put the newest copy of that folder back."
            )
        elif deployment.serves:
            yield fail("keys", "there are none", deployment.command("keys", "new", config=True))
        return
    open_to_others = [
        path
        for where in (folder, dev)
        if where.exists()
        for path in sorted(where.iterdir())
        if path.name not in _PUBLIC and path.suffix != ".json" and path.stat().st_mode & _OTHERS
    ]
    for path in open_to_others:
        yield fail("keys", f"{path} can be read by others", f"chmod 600 {shlex.quote(str(path))}")
    if cut_off(folder):
        yield fail("keys", "a change of keys was cut off", deployment.command("keys", "list", state=True))
    elif not open_to_others:
        yield from _ring(deployment)
    yield from _approvers(deployment)


def _ring(deployment: Deployment) -> Iterator[Finding]:
    try:
        ring = load_keys(deployment.state.keys)
    except KeyFault as error:
        yield fail("keys", error.message, error.hint or "Put the newest copy of the keys folder back.")
        return
    for role in KeyRole:
        period = ring.bundle.of(role)[ring.signer(role).keyid]
        yield ok("keys", f"the {role} key {period.keyid[:16]}… is in force since entry {period.since}")
    if ring.dev and deployment.serves:
        yield warn(
            "keys",
            "they are development keys, and somebody is named who may call: serve refuses these keys",
            f"Name another `state` folder, then {deployment.command('keys', 'new', config=True)}",
        )


def _approvers(deployment: Deployment) -> Iterator[Finding]:
    settings = deployment.outline
    trusted = deployment.trusted
    if settings is None or trusted is None or trusted.dev or not settings.configuration.approvers:
        return
    try:
        check_out_of_reach(settings.approvers(), (deployment.state.path, settings.folder))
        yield ok("keys", "no approver's private key is within the gateway's reach")
    except ConfigError as error:
        yield fail("keys", error.message, error.hint)
