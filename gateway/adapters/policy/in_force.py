"""Which policies decide: the configured ones, or kept ones after a roll-back. How that changes, and that it is remembered.

What was configured decides from the start, after `reload`, and whenever the content at its path changes. A roll-back puts
kept policies in its place; they decide, also after a restart, until one of the two happens. Policies that cannot be loaded
or cannot decide never replace any: the ones before them stay in force. They are tried again, ever more seldom, since what
was wrong may have been the machine.

A change is in the kept history and in the signed log before it decides anything; where one of them cannot be written, there
is no change. The policies at a start are in the entry of that start. Both state the number of the history, so that a start
knows a history that is older than the log, and believes the log: it does not start with policies that a roll-back over them
put out of force.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import structlog
import watchfiles

from gateway.adapters.policy.bundle import PolicyBundle, load_bundle
from gateway.adapters.policy.kept import KEEP_TERMS, History, KeptPolicies, RollBack, Term
from gateway.adapters.policy.opa import OpaEngine
from gateway.adapters.policy.reading import read_apart
from gateway.adapters.policy.signature import load_verification_key
from gateway.core.errors import ConfigError, GatewayError, StoreFault
from gateway.core.policy_told import PolicyTold
from gateway.core.ports import Clock

LOOK_MS = 3000
MIN_PREFIX_CHARS = 6
MAX_CAUSE_CHARS = 300
MAX_WAIT_SECONDS = 300.0
_EVENTS = {"reload": "reloaded", "rollback": "rolled_back"}

Record = Callable[[Mapping[str, Any]], Awaitable[object]]
"""Adds an entry of kind policy to the log. Raises `StoreFault`."""

Look = tuple[tuple[str, int, int, int, int], ...]

_log = structlog.get_logger("sealgate.policy")


@dataclass(frozen=True, slots=True)
class PolicySource:
    """Where policies are configured: a folder or a bundle file, and the PEM file of the key that must have signed it.

    `enforced`: whether what they say counts; the signatures of others are not looked at.
    """

    path: Path
    key_path: Path | None = None
    enforced: bool = True

    def look(self) -> Look:
        """What changes when a file does, mostly: cheap enough for every few seconds. Empty where nothing is there."""
        files = sorted(self.path.rglob("*")) if self.path.is_dir() else [self.path]
        found = []
        for file in files:
            try:
                told = file.stat()
            except OSError:
                continue
            found.append((str(file), told.st_ino, told.st_size, told.st_mtime_ns, told.st_ctime_ns))
        return tuple(found)

    def load(self, *, running: bool = True) -> PolicyBundle:
        """Read anew; in a process of its own while the gateway is running, since calls are decided meanwhile.

        Raises `ConfigError`, also for a signature that nobody would check.
        """
        if running:
            bundle = read_apart(self.path, self.key_path)
        else:
            bundle = load_bundle(self.path, None if self.key_path is None else load_verification_key(self.key_path))
        if self.enforced and bundle.signed and self.key_path is None:
            raise ConfigError(
                f"{self.path}: is signed, and nothing says by whom it must be",
                hint="Name the public key as policy.verification_key in gateway.yaml.",
            )
        return bundle


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why what is configured was not put in force, and when (monotonic seconds) it is tried again, having waited so long."""

    cause: str
    wait_seconds: float
    again_at: float


class Engine(Protocol):
    """What is put in force."""

    @property
    def revision(self) -> str: ...

    async def reload(self, bundle: PolicyBundle, agree: Callable[[], Awaitable[None]]) -> None: ...


class InForce:
    """For the embedded engine. Make it with `at_start`, and call `begun` once the engine runs.

    `told`: what the log said last of the policies that decide.
    """

    def __init__(
        self, source: PolicySource, kept: KeptPolicies, clock: Clock, record: Record, told: PolicyTold | None = None
    ) -> None:
        self._source = source
        self._kept = kept
        self._clock = clock
        self._record = record
        self._told = told
        self._number = 0 if told is None else told.number  # the highest that any writing of the history had
        self._one = asyncio.Lock()
        self._engine: Engine
        self._configured = ""  # the revision at the source when it was last loaded
        self._looked: Look | None = None
        self._refusal: Refusal | None = None
        self._name = ""
        self._history = History()

    def at_start(self) -> PolicyBundle:
        """The policies to start with. Raises `ConfigError`, `StoreFault`."""
        self._looked = self._source.look()
        configured = self._source.load(running=False)
        self._configured = configured.revision
        self._history = self._believed(configured.revision)
        self._number = max(self._number, self._history.number)
        rolled = self._history.rolled_back
        if rolled is None:
            return configured
        if rolled.over != configured.revision:
            _log.warning("policy_rollback_ended", over=rolled.over, configured=configured.revision)
            self._history = replace(self._history, rolled_back=None)
            return configured
        try:
            return self._kept.bundle(self._history.terms[-1].revision, self._source.key_path)
        except ConfigError as error:
            raise ConfigError(
                f"a roll-back is in force, and its policies cannot be loaded: {error.message}",
                hint="Configure other policies: that ends the roll-back.",
            ) from error

    async def begun(self, engine: Engine, bundle: PolicyBundle) -> None:
        """`bundle` decides now, in `engine`. Raises `StoreFault`."""
        self._engine = engine
        await asyncio.to_thread(self._kept.keep, bundle)
        history = self._with(bundle, "start", self._history.rolled_back)
        self._history = await asyncio.to_thread(self._kept.write, history)
        self._name = bundle.manifest.revision
        await asyncio.to_thread(self._kept.drop_unused, history)
        if self._history.rolled_back is not None:
            _log.warning("policy_rollback_in_force", revision=bundle.revision, over=self._configured)

    async def reload(self, by: str) -> str:
        """Let what is configured decide from now on, as `by` wants; ends a roll-back.

        Raises `ConfigError`: nothing changed then.
        """
        async with self._one:
            looked = await asyncio.to_thread(self._source.look)
            bundle = await asyncio.to_thread(self._source.load)
            await self._configure(bundle, by)
            self._looked, self._refusal = looked, None
        return bundle.revision

    async def roll_back(self, which: str | None, by: str) -> str:
        """Let kept policies decide from now on: those named, or those before the ones in force.

        Args:
            which: a revision, the beginning of one, or the name in a manifest
            by: who wants it, for the log

        Raises:
            ConfigError: there are none, or they cannot decide any more. Nothing changed then.
        """
        async with self._one:
            revision = self._chosen(which)
            bundle = await asyncio.to_thread(lambda: self._kept.bundle(revision, self._source.key_path))
            over = None if revision == self._configured else RollBack(self._configured, self._clock.now())
            await self._put(bundle, "rollback", over, by)
        _log.warning("policy_rolled_back", revision=revision, name=bundle.manifest.revision, over=self._configured)
        return revision

    def history(self) -> History:
        return self._history

    def told(self) -> dict[str, Any]:
        """What the boot entry says beside the revision."""
        over = self.rolled_back_over
        return {"policy_number": self._history.number, **({} if over is None else {"policy_rolled_back_over": over})}

    @property
    def rolled_back_over(self) -> str | None:
        """The configured policies that do not decide, while a roll-back is in force."""
        return None if self._history.rolled_back is None else self._history.rolled_back.over

    def status(self) -> dict[str, Any]:
        """As `sealgate status` tells it."""
        rolled = self._history.document()["rolled_back"]
        refused = None if self._refusal is None else self._refusal.cause
        return {"revision": self._engine.revision, "name": self._name, "rolled_back": rolled, "refused": refused}

    async def watch(self) -> None:
        """Reload when what is configured changes. Looked at every few seconds as well: what was replaced tells nothing.

        Ends only when it is cancelled: whatever goes wrong is told, and the next look may go well.
        """
        while True:
            try:
                async for changed in watchfiles.awatch(
                    self._source.path, step=200, rust_timeout=LOOK_MS, yield_on_timeout=True
                ):
                    await self._look(at_once=bool(changed))
            except Exception as error:  # noqa: BLE001 - of the watched path, or of what is there
                _log.error("policy_watch_failed", cause=f"{type(error).__name__}: {error}"[:MAX_CAUSE_CHARS])
            await asyncio.sleep(LOOK_MS / 1000)

    async def _look(self, *, at_once: bool) -> None:
        """Put in force what is configured, if it changed. `at_once`: even where it looks as it did."""
        async with self._one:
            looked = await asyncio.to_thread(self._source.look)
            refusal = self._refusal
            again = refusal is not None and self._clock.monotonic() >= refusal.again_at
            if looked == self._looked and not at_once and not again:
                return
            self._looked = looked
            try:
                bundle = await asyncio.to_thread(self._source.load)
                if bundle.revision != self._configured:
                    await self._configure(bundle, "change")
            except GatewayError as error:  # the old policies stay
                self._refuse(error.message[:MAX_CAUSE_CHARS])
            except Exception as error:  # noqa: BLE001 - it looks as it did from now on, so only a refusal is tried again
                self._refuse(f"{type(error).__name__}: {error}"[:MAX_CAUSE_CHARS])
            else:
                self._refusal = None

    def _refuse(self, cause: str) -> None:
        """What is configured is not put in force, and tried again: who knows whether that is what was wrong."""
        before = self._refusal
        if before is None or before.cause != cause:
            _log.error("policy_reload_refused", kept=self._engine.revision, cause=cause)
        wait = LOOK_MS / 1000 if before is None else min(2 * before.wait_seconds, MAX_WAIT_SECONDS)
        self._refusal = Refusal(cause, wait, self._clock.monotonic() + wait)

    async def _configure(self, bundle: PolicyBundle, by: str) -> None:
        await self._put(bundle, "reload", None, by)
        self._configured = bundle.revision
        _log.info("policy_loaded", revision=bundle.revision, name=bundle.manifest.revision)

    def _believed(self, configured: str) -> History:
        """The kept history, where it bears this gateway's seal and is as new as the log says; else an empty one.

        Then the configured policies decide. Raises `StoreFault`; `ConfigError` where the log says that these do not.
        """
        why = ""
        try:
            history = self._kept.history()
            if history.number >= self._number:
                return history
            if history.terms:
                why = f"it is number {history.number}, and the log knows number {self._number}: an older one was put back"
        except ConfigError as error:
            why = error.message
        if self._told is not None and self._told.over == configured:
            raise ConfigError(
                f"by the log, a roll-back over the configured policies is in force, and {self._kept.folder} does not tell it"
                f" {f'({why})' if why else '(it is gone)'}",
                hint="Put the newest copy of that folder back, or configure other policies: that ends the roll-back.",
                code="policy.history_refused",
            )
        if why:
            _log.error("policy_history_refused", cause=why, moved_to=str(self._kept.set_aside()))
        elif self._number:
            _log.warning("policy_history_gone", folder=str(self._kept.folder))
        return History()

    async def _put(self, bundle: PolicyBundle, how: str, rolled_back: RollBack | None, by: str) -> None:
        await asyncio.to_thread(self._kept.keep, bundle)
        history = self._with(bundle, how, rolled_back)
        said = {
            "event": _EVENTS[how],
            "engine": "embedded",
            "revision": bundle.revision,
            "by": by,
            "number": history.number,
            **({} if rolled_back is None else {"over": rolled_back.over}),
        }

        async def agree() -> None:
            try:
                await asyncio.to_thread(self._kept.write, history)
                await self._record(said)
            except BaseException:
                with suppress(StoreFault):  # newer than the one before, which the log may have taken all the same
                    await asyncio.to_thread(self._kept.write, replace(self._history, number=self._next_number()))
                raise

        try:
            await self._engine.reload(bundle, agree)
            self._name, self._history = bundle.manifest.revision, history
        finally:
            with suppress(StoreFault):  # a file too many harms nobody
                await asyncio.to_thread(self._kept.drop_unused, self._history)

    def _with(self, bundle: PolicyBundle, how: str, rolled_back: RollBack | None) -> History:
        """The history once `bundle` decides."""
        terms = self._history.terms
        if not terms or terms[-1].revision != bundle.revision:
            terms = (*terms, Term(bundle.revision, bundle.manifest.revision, self._clock.now(), how))
        return History(terms[-KEEP_TERMS:], rolled_back, self._next_number())

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    def _chosen(self, which: str | None) -> str:
        others = [revision for revision in self._history.kept() if revision != self._engine.revision]
        if which is None and others:
            return others[0]
        found = [] if which is None else _named(which, others, self._history.terms)
        if len(found) == 1:
            return found[0]
        called = "earlier policies" if which is None else f"other kept policies called {which!r}"
        raise ConfigError(
            f"there are several {called}" if found else f"there are no {called}",
            hint="sealgate policy list shows what is kept.",
            code="policy.not_kept",
        )


class AtServer:
    """For engine opa: the OPA server loads its policies itself, and the engine tells the log of each change it sees."""

    def __init__(self, engine: OpaEngine) -> None:
        self._engine = engine

    async def reload(self, by: str) -> str:
        """Read again which policies the server has, as `by` wants. Raises `ConfigError`, `StoreFault`."""
        await self._engine.reload(by)
        return self._engine.revision

    async def roll_back(self, which: str | None, by: str) -> str:
        """Not here. Raises `ConfigError`."""
        raise ConfigError(
            "the OPA server loads its policies itself, so the gateway cannot roll them back",
            hint="Give the server the earlier bundle.",
            code="policy.not_kept",
        )

    def history(self) -> History:
        return History()

    def told(self) -> dict[str, Any]:
        """Nothing: the boot entry's revision is all there is."""
        return {}

    def status(self) -> dict[str, Any]:
        return {"revision": self._engine.revision, "name": "", "rolled_back": None, "refused": None}

    async def watch(self) -> None:
        """The engine watches the server itself: there is nothing to do here, for as long as the gateway runs."""
        await asyncio.Event().wait()


def _named(which: str, revisions: Sequence[str], terms: Sequence[Term]) -> list[str]:
    names = {term.revision: term.name for term in terms}
    exact = [revision for revision in revisions if which in (revision, names.get(revision))]
    if exact or len(which) < MIN_PREFIX_CHARS:
        return exact
    return [one for one in revisions if one.startswith(which) or one.removeprefix("sha256:").startswith(which)]
