"""The embedded engine: regorus in a supervised helper process, no server needed.

Each process holds one bundle and never another: a reload starts a second process, tries the new policies in it, and only
then lets it take over, so the old policies decide until the new ones are known to work. A process that was killed or died
is replaced at once with the last good bundle; a call that comes meanwhile waits within its deadline.

Above: `ports.PolicyEngine`. Below: `process.py` (this side of the socket), `worker.py` (the other side).
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, Self

import orjson

from gateway.adapters.policy.bundle import PolicyBundle
from gateway.adapters.policy.decided import decided
from gateway.adapters.policy.process import Fault, PolicyProcess
from gateway.adapters.policy.settings_names import check_settings
from gateway.adapters.policy.smoke import smoke
from gateway.core.call import SealedCall
from gateway.core.circumstances import Circumstances
from gateway.core.decision import PolicyDecision, Verdict, failed_verdict, policy_input, read_verdict
from gateway.core.errors import ConfigError
from gateway.core.ports import Clock

ENGINE = "embedded"
LOAD_SECONDS = 10.0
SMOKE_SECONDS = 1.0
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 5.0


class EmbeddedEngine:
    """Use as `async with EmbeddedEngine(bundle, clock, dev=False) as engine`. Raises `ConfigError` on entering.

    `deadline_seconds` bounds one decision, `load_seconds` the start of a process with its bundle. `niceness` is by how much
    its process gives way to others.
    """

    def __init__(
        self,
        bundle: PolicyBundle,
        clock: Clock,
        *,
        dev: bool,
        deadline_seconds: float = 0.25,
        load_seconds: float = LOAD_SECONDS,
        niceness: int = 0,
    ) -> None:
        self._bundle = bundle
        self._clock = clock
        self._dev = dev
        self._deadline_seconds = deadline_seconds
        self._load_seconds = load_seconds
        self._niceness = niceness
        self._process: PolicyProcess | None = None
        self._running = asyncio.Event()
        self._starting = asyncio.Lock()
        self._reviving: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def revision(self) -> str:
        """Which policies decide now."""
        return self._bundle.revision

    @property
    def pid(self) -> int | None:
        """The process that decides now; None while it is replaced."""
        return None if self._process is None else self._process.pid

    @property
    def ready(self) -> bool:
        """Whether a process is there to decide."""
        return self._process is not None

    async def decide(self, call: SealedCall, around: Circumstances) -> PolicyDecision:
        """See `ports.PolicyEngine`."""
        document = policy_input(call, around, dev=self._dev, now=self._clock.now())
        revision, verdict = await self.judge(document, call)
        return decided(verdict, call, document, engine=ENGINE, revision=revision, decision_id=self._clock.new_id())

    async def judge(self, document: bytes, call: SealedCall) -> tuple[str, Verdict]:
        """What the policies say to an input document about `call`, and their revision. Never raises, as `decide`."""
        deadline = asyncio.get_running_loop().time() + self._deadline_seconds
        process = self._process or await self._replacement(deadline)
        revision = self._bundle.revision  # of this very process: both change together
        if process is None:
            return revision, failed_verdict("the policy process was being restarted")
        return revision, _verdict(await process.ask(b"D", document, deadline), call)

    async def reload(self, bundle: PolicyBundle, agree: Callable[[], Awaitable[None]] | None = None) -> None:
        """Let `bundle` decide from now on. Raises `ConfigError`, and the old one goes on deciding.

        `agree` is called once the new policies are known to work and before they decide; if it raises, they never do.
        """
        async with self._starting:
            process = await self._start(bundle)
            if agree is not None:
                try:
                    await agree()
                except BaseException:
                    await process.stop()
                    raise
            former, self._bundle = self._process, bundle
            self._adopt(process)
            if former is not None:
                self._see_off(former.retire())

    async def __aenter__(self) -> Self:
        await self.reload(self._bundle)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        if self._process is not None:
            await self._process.stop()
        if self._reviving is not None:
            self._reviving.cancel()
            await asyncio.wait((self._reviving,))
        await asyncio.gather(*self._ending)

    async def _replacement(self, deadline: float) -> PolicyProcess | None:
        try:
            async with asyncio.timeout_at(deadline):
                await self._running.wait()
        except TimeoutError:
            return None
        return self._process

    def _adopt(self, process: PolicyProcess) -> None:
        self._process = process
        self._running.set()
        if process.fault is not None:  # it died before it could take over
            self._ended(process)

    def _ended(self, process: PolicyProcess) -> None:
        if process is not self._process:
            return
        self._process = None
        self._running.clear()
        self._see_off(process.stop())
        if not self._closed and (self._reviving is None or self._reviving.done()):
            self._reviving = asyncio.get_running_loop().create_task(self._revive())

    async def _revive(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while self._process is None:
            try:
                async with self._starting:
                    if self._process is None:  # a reload may have been first
                        self._adopt(await self._start(self._bundle))
            except ConfigError:  # it was good before: the machine lacks something. Calls are denied until it works again
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _start(self, bundle: PolicyBundle) -> PolicyProcess:
        return await start_checked(bundle, self._deadline_seconds, self._load_seconds, self._ended, self._niceness)

    def _see_off(self, end: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(end)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


async def start_checked(
    bundle: PolicyBundle,
    deadline_seconds: float,
    load_seconds: float = LOAD_SECONDS,
    on_end: Callable[[PolicyProcess], None] = lambda process: None,
    niceness: int = 0,
) -> PolicyProcess:
    """A process with `bundle` loaded and tried; the caller stops it. Raises `ConfigError`."""
    process = await PolicyProcess.start(on_end, niceness)
    try:
        await process.load(bundle, load_seconds)
        await check_settings(process, max(deadline_seconds, SMOKE_SECONDS))
        await smoke(process, max(deadline_seconds, SMOKE_SECONDS))
        process.patience = deadline_seconds
    except BaseException:
        await process.stop()
        raise
    return process


def _verdict(answer: bytes | Fault, call: SealedCall) -> Verdict:
    if isinstance(answer, Fault):
        return failed_verdict(answer.without_values())
    try:
        return read_verdict(orjson.loads(answer), call.told)
    except orjson.JSONDecodeError as error:
        return failed_verdict(f"the engine's answer is not JSON: {error}")
