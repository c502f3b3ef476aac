"""Attacks on the wire itself: what HTTP forbids, requests that never end, thousands of connections, answers nobody reads.

Meanwhile a good client calls on. None of its calls may fail or take long, and the attacked gateway keeps no memory.
"""

import asyncio
import contextlib
import json
import math
import resource
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import uvloop

from fuzz.attacks import SMUGGLED, Writer, attacks
from fuzz.clients import Http, Hung, connected, responses
from fuzz.corpus import Frame, Kind
from fuzz.crowd import Crowd
from fuzz.gateways import besieged
from fuzz.processes import resident_bytes, starved_seconds
from fuzz.slow import Slow
from fuzz.tally import Finding, Tally
from tests.edge.box import Box
from tests.edge.frames import call
from tests.upstream.world import serving

GOOD_SECONDS = 1.0
PAUSE_SECONDS = 0.02
MEMORY_BYTES = 50 << 20
SILENCE_SECONDS = 0.3
ENDLESS_SECONDS = 25.0
ENDLESS = ("flood", "flood_stream", "endless_event", "no_json", "gzip", "wrong_id", "cut_half")
UPSTREAM = """  - {match: web__*, mode: read_only, trust: trusted}
"""


def run(tally: Tally, folder: Path, connections: int) -> None:
    """All attacks on one gateway, which also has a hostile HTTP upstream."""
    _open_files(connections + 1_000)
    with serving("raw_http.py") as port, besieged(folder, UPSTREAM, web=port) as box:
        uvloop.run(Siege(box, tally).all(connections))
        if box.gateway.process is None or box.gateway.process.poll() is not None:
            tally.find(Finding.CRASH, f"the gateway ended: {box.gateway.output[-1500:]}")
            return
        for fault in box.faults()[:3]:
            tally.find(Finding.CRASH, fault)
        for problem in box.verified().problems[:3]:
            tally.find(Finding.OTHER, str(problem))
        if any(SMUGGLED in line for line in box.lines("calls")):
            tally.find(Finding.TAKEN, "a request that was hidden in another one reached the upstream")


@dataclass(slots=True)
class Good:
    """A client that calls on while something else happens. `times` are the seconds of each of its calls."""

    times: list[float] = field(default_factory=list)

    def quantile(self, share: float) -> float:
        """The time within which this share of the calls was answered, in seconds."""
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


class Siege:
    """One gateway, and what is done to it."""

    def __init__(self, box: Box, tally: Tally) -> None:
        self._box = box
        self._tally = tally
        self._write = Writer(box.gateway)
        self._port = box.gateway.port
        self._number = 0

    async def all(self, connections: int) -> None:
        """One after the other, but for those that wait for a deadline: they wait together."""
        await self._during("nothing else", lambda: asyncio.sleep(1.0))
        crowd = Crowd(self._box, self._tally)
        await crowd.warm()
        await self._during("forbidden requests", self._forbidden)
        before = self._memory()  # by now the allocator has what the largest documents and the most connections need
        await self._during("requests that never end", Slow(self._port, self._write, self._tally).all)
        await self._during("endless answers", self._upstream)
        await self._during("stdio clients", crowd.line_clients)
        await self._during("a flood of connections", crowd.flood)
        await self._during("idle connections", lambda: crowd.idle(connections))
        grown = self._memory() - before
        self._tally.notes.append(f"memory of the gateway since the forbidden requests: {grown / 2**20:+.1f} MiB")
        if grown > MEMORY_BYTES:
            self._tally.find(Finding.MEMORY, f"{grown >> 20} MiB more")

    async def _during(self, name: str, attack: Callable[[], Awaitable[None]]) -> None:
        """Attack while the good client calls on, once on a connection that it keeps and once on new ones."""
        done = asyncio.Event()
        kept, fresh = Good(), Good()
        starved = starved_seconds(self._pid)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._call_on(name, done, kept, fresh=False))
            group.create_task(self._call_on(name, done, fresh, fresh=True))
            try:
                await attack()
            finally:
                done.set()
        starved = starved_seconds(self._pid) - starved
        told = []
        for how, good in (("kept", kept), ("new", fresh)):
            if not good.times:
                self._tally.find(Finding.UNANSWERED, f"{name}: no call on a {how} connection was answered")
                continue
            self._tally.did["calls of a good client"] += len(good.times)
            p99 = good.quantile(0.99)
            told.append(f"{how} {good.quantile(0.5) * 1000:.1f} / {p99 * 1000:.1f} ms of {len(good.times)}")
            if p99 - starved > GOOD_SECONDS:
                self._tally.find(Finding.UNANSWERED, f"{name}: p99 of a good client's calls {p99:.2f} s ({how} connection)")
        self._tally.notes.append(f"{name}: a good client's calls, p50 / p99: {'; '.join(told)}")

    async def _call_on(self, name: str, done: asyncio.Event, good: Good, *, fresh: bool) -> None:
        client: Http | None = None
        while not done.is_set():
            self._number += 1
            data = call(json.dumps({"text": f"fine {self._number}"}))
            frame = Frame(data, Kind.REQUEST, 7, method="tools/call", name="box__echo")
            began = monotonic()
            try:
                if client is None:
                    client = Http(self._box.gateway, modern=True)
                    await client.begin()
                (answer,) = await client.exchange([frame])
                if "result" not in answer.message:
                    self._tally.find(Finding.UNANSWERED, f"{name}: a good call got {answer.status} {answer.message!r}")
                good.times.append(monotonic() - began)
                if fresh:
                    client.close()
                    client = None
            except (Hung, OSError, asyncio.IncompleteReadError) as error:
                self._tally.find(Finding.UNANSWERED, f"{name}: a good client's call failed: {error!r}")
                client = None
            await asyncio.sleep(PAUSE_SECONDS)
        if client is not None:
            client.close()

    async def _forbidden(self) -> None:
        for attack in attacks(self._write):
            self._tally.did["forbidden or odd requests"] += 1
            answers, closed = await self._answers(attack.data)
            statuses = [status for status, _ in answers]
            fits = len(statuses) == len(attack.statuses) or (attack.cut and len(statuses) < len(attack.statuses))
            fits = fits and all(status in allowed for status, allowed in zip(statuses, attack.statuses, strict=False))
            expected = [sorted(allowed) for allowed in attack.statuses]
            if not fits:
                failed = any(
                    status >= 500 and all(status not in allowed for allowed in attack.statuses) for status in statuses
                )
                self._tally.find(
                    Finding.CRASH if failed else Finding.TAKEN,
                    f"{attack.name}: answered {statuses}, not {expected}: {answers[-1:]!r}",
                )
            elif attack.closes and not closed:
                self._tally.find(Finding.TAKEN, f"{attack.name}: the connection stays open")
            elif attack.error is not None and _error(answers[-1][1]) != attack.error:
                self._tally.find(Finding.TAKEN, f"{attack.name}: {answers[-1][1][:200]!r}, not {attack.error}")

    async def _answers(self, data: bytes) -> tuple[list[tuple[int, bytes]], bool]:
        """Statuses and bodies that come for these bytes, and whether the connection is closed then."""
        reader, writer = await connected(self._port)

        async def send() -> None:
            with contextlib.suppress(ConnectionError):
                writer.write(data)
                await writer.drain()

        sending = asyncio.create_task(send())
        held = bytearray()
        closed = False
        try:
            while True:
                seconds = 5.0 if not held or not sending.done() else SILENCE_SECONDS
                async with asyncio.timeout(seconds):
                    chunk = await reader.read(1 << 16)
                if not chunk:
                    closed = True
                    break
                held += chunk
        except TimeoutError:
            pass
        except ConnectionError:
            closed = True
        finally:
            sending.cancel()
            writer.close()
        return list(responses(bytes(held), head=data.startswith(b"HEAD"))), closed

    async def _upstream(self) -> None:
        """Answers of an upstream that never end, or are none. It works again after each."""
        for tool in ENDLESS:
            self._tally.did["hostile answers of an upstream"] += 1
            for called, expected in ((tool, ("failed", "in_doubt")), ("echo", ("completed",))):
                try:
                    outcome = await self._outcome(called)
                except (Hung, TimeoutError) as error:
                    self._tally.find(Finding.UNANSWERED, f"an upstream's {called} ({tool}): {error!r}")
                    continue
                if outcome not in expected:
                    self._tally.find(Finding.TAKEN, f"an upstream's {called} ({tool}) is {outcome}, not {expected}")

    async def _outcome(self, tool: str) -> str | None:
        """What becomes of a call of the HTTP upstream. Raises `Hung`, `TimeoutError`."""
        client = Http(self._box.gateway, modern=True, hang_seconds=ENDLESS_SECONDS)
        await client.begin()
        data = call("{}", name=f'"web__{tool}"')
        try:
            (answer,) = await client.exchange([Frame(data, Kind.REQUEST, 7, method="tools/call", name=f"web__{tool}")])
        finally:
            client.close()
        told: dict[str, str] = answer.message.get("result", {}).get("_meta", {}).get("dev.sealgate/outcome", {})
        return told.get("outcome")

    @property
    def _pid(self) -> int:
        if self._box.gateway.process is None:
            raise RuntimeError("the gateway was not started")
        return self._box.gateway.process.pid

    def _memory(self) -> int:
        return resident_bytes(self._pid)


def _error(body: bytes) -> int | None:
    try:
        code: int = json.loads(body)["error"]["code"]
    except (ValueError, KeyError, TypeError):
        return None
    return code


def _open_files(count: int) -> None:
    """Have so many files open here. Raises `RuntimeError` where the machine does not permit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    elif hard < count:
        raise RuntimeError(f"this process may open {hard} files; fewer --connections, or a higher ulimit -Hn than {count}")
