"""Keeps the log anchored: at the start, and then again and again, off the path of every call.

* **check**, before anything is appended: every witness is shown the log as it is. One that cosigned a longer or another
  log proves that this one was rolled back or replaced, and the gateway does not start. Where so many witnesses are silent
  that they alone could have met the quorum, nothing is proved: `require` does not start, `warn` says so.
* **run**: shows the newest checkpoint to the witnesses when it changed, stores their cosignatures and the time stamp, and
  keeps the checkpoint that met the quorum in a file or two, from which the next start is checked.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import structlog
from cryptography.x509 import Certificate

from gateway.adapters.anchors.kept import write_kept
from gateway.adapters.anchors.timestamp import request_stamp
from gateway.adapters.anchors.witnesses import Asked, Shown, Standing, show
from gateway.core.anchor import Anchor, AnchorKind, cosigned_note, rolled_back
from gateway.core.checkpoint import Checkpoint, read_checkpoint
from gateway.core.errors import GatewayError, Unreachable
from gateway.core.log_policy import LogPolicy
from gateway.core.ports import AnchorStore, Clock

_log = structlog.get_logger("sealgate.anchors")


class Authority(NamedTuple):
    """A time-stamp authority: where it is, and what its stamps must lead up to."""

    url: str
    certificates: list[Certificate]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is configured. `kept`: the files for the last anchored checkpoint."""

    policy: LogPolicy
    kept: tuple[Path, ...]
    every_seconds: float
    required: bool
    authority: Authority | None = None

    def asked(self) -> tuple[Asked, ...]:
        """The witnesses with an address."""
        return tuple(
            Asked(witness.name, witness.key, witness.url.rstrip("/"))
            for witness in self.policy.witnesses
            if witness.url is not None
        )


class Anchoring:
    """One per process, owned by the event loop. `session` is for the witnesses and the authority alone."""

    def __init__(self, plan: Plan, store: AnchorStore, clock: Clock, session: aiohttp.ClientSession) -> None:
        self._plan = plan
        self._store = store
        self._clock = clock
        self._session = session
        cosigned = store.cosigned()
        self._since = {witness.name: cosigned.get(witness.key.id, 0) for witness in plan.asked()}
        self._standing = dict.fromkeys(self._since, Shown(Standing.UNKNOWN))
        self._anchored: tuple[int, str, float] | None = None
        self._stamped = 0
        self._troubles: dict[str, str] = {}

    async def check(self, note: str) -> None:
        """Hold the log against what the witnesses remember. `note`: the checkpoint of all that is committed.

        Raises:
            VerificationFailed: the log was rolled back or replaced.
            Unreachable: too few witnesses answer to tell, and they are required.
        """
        await self._show(note, self._plan.asked())
        for name, shown in self._standing.items():
            if shown.standing in (Standing.AHEAD, Standing.CONTRADICTS):
                raise rolled_back(f"the witness {name} says that {shown.reason}")
        silent = {name: shown.reason for name, shown in self._standing.items() if shown.standing is not Standing.COSIGNED}
        if self._plan.policy.met_by(frozenset(silent)):
            told = "; ".join(f"{name}: {reason}" for name, reason in silent.items())
            if self._plan.required:
                raise Unreachable(
                    f"too few witnesses answer to rule out that the log was rolled back ({told})",
                    hint="Start them, or write at_boot: warn under log.anchors to start without them.",
                    code="anchors.unreachable",
                )
            _log.error("started_unwitnessed", witnesses=silent)
        await self._settle(note)

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            await asyncio.sleep(self._plan.every_seconds)
            try:
                await self._round()
            except GatewayError as error:
                self._trouble("log", error.message)
            except Exception as error:  # noqa: BLE001 whatever it is, the status tells, and the next round tries again
                self._trouble("log", repr(error))
            else:
                self._trouble("log", "")

    def status(self) -> dict[str, Any]:
        """For people and programs: what is anchored since when, and how each witness stands."""
        size, at, since = self._anchored or (None, None, None)
        return {
            "size": size,
            "at": at,
            "age_seconds": None if since is None else round(self._clock.monotonic() - since, 1),
            "witnesses": [
                {"name": name, "standing": shown.standing.value, "size": self._since[name], "reason": shown.reason}
                for name, shown in self._standing.items()
            ],
            "stamped": self._stamped or None,
            "troubles": self._troubles,
        }

    async def _round(self) -> None:
        note = self._store.newest_checkpoint()
        if note is None:
            return
        size = read_checkpoint(note).checkpoint.size
        behind = [witness for witness in self._plan.asked() if not self._cosigned(witness.name, size)]
        await self._show(note, behind)
        await self._settle(note)

    async def _show(self, note: str, witnesses: Sequence[Asked]) -> None:
        answers = await asyncio.gather(
            *(show(self._session, each, note, self._since[each.name], self._store.consistency) for each in witnesses)
        )
        kept = []
        for witness, shown in zip(witnesses, answers, strict=True):
            self._learn(witness.name, shown)
            if shown.cosignature is not None and shown.size:  # no checkpoint of nothing is stored
                line = shown.cosignature.line.encode()
                kept.append(Anchor(shown.size, AnchorKind.COSIGNATURE, witness.key.id, self._clock.now(), line))
        if kept:
            await self._store.keep(kept)

    def _learn(self, name: str, shown: Shown) -> None:
        before = self._standing[name]
        self._standing[name] = shown
        if shown.standing is Standing.COSIGNED:
            self._since[name] = shown.size
        if (before.standing, before.reason) == (shown.standing, shown.reason):
            return
        if shown.standing is not Standing.COSIGNED:
            _log.error("witness_" + shown.standing.value, witness=name, reason=shown.reason)
        elif before.standing is not Standing.UNKNOWN:
            _log.info("witness_cosigned", witness=name, size=shown.size)

    def _cosigned(self, name: str, size: int) -> bool:
        return self._standing[name].standing is Standing.COSIGNED and self._since[name] == size

    async def _settle(self, note: str) -> None:
        """If a quorum cosigned `note`: keep it, and have it stamped."""
        checkpoint = read_checkpoint(note).checkpoint
        names = frozenset(name for name in self._since if self._cosigned(name, checkpoint.size))
        if not checkpoint.size or not self._plan.policy.met_by(names):
            return
        if self._anchored is None or self._anchored[0] < checkpoint.size:
            cosigned = cosigned_note(note, self._store.anchors(checkpoint.size))
            for path in self._plan.kept:
                await self._write(path, cosigned)
            self._anchored = (checkpoint.size, self._clock.now(), self._clock.monotonic())
        await self._stamp(checkpoint)

    async def _write(self, path: Path, note: str) -> None:
        try:
            await asyncio.to_thread(write_kept, path, note)
        except OSError as error:
            self._trouble(str(path), f"the anchored checkpoint cannot be kept: {error.strerror}")
        else:
            self._trouble(str(path), "")

    async def _stamp(self, checkpoint: Checkpoint) -> None:
        authority = self._plan.authority
        if authority is None or self._stamped == checkpoint.size:
            return
        try:
            stamp = await request_stamp(self._session, authority.url, checkpoint, authority.certificates)
        except GatewayError as error:
            self._trouble(authority.url, error.message)
            return
        self._trouble(authority.url, "")
        at = self._clock.now()
        await self._store.keep([Anchor(checkpoint.size, AnchorKind.RFC3161, authority.url, at, stamp.proof)])
        self._stamped = checkpoint.size

    def _trouble(self, where: str, what: str) -> None:
        """Remember what is wrong for the status, and log it when it changes. Nothing wrong: empty text."""
        if self._troubles.get(where, "") == what:
            return
        if what:
            self._troubles[where] = what
            _log.error("anchor_trouble", where=where, reason=what)
        else:
            del self._troubles[where]
            _log.info("anchor_mended", where=where)
