"""Malformed frames at a running gateway, on every way in, many at a time.

Each frame whose id can be recovered is answered, with that id, within a second; a refused one with the right error. No
other call than those in well-formed frames reaches the upstream. The gateway goes on, its memory does not grow, and its log
verifies.
"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

import uvloop

from fuzz.clients import HANG_SECONDS, Answer, Http, Hung, Lines
from fuzz.corpus import Frame, Kind, frame
from fuzz.gateways import besieged
from fuzz.processes import resident_bytes, starved_seconds
from fuzz.schemas import RICH, fitting_calls
from fuzz.tally import Finding, Tally
from tests.edge.box import Box
from tests.running import REPOSITORY

ANSWER_SECONDS = 1.0
MEMORY_BYTES = 50 << 20
WARM_SHARE = 0.25
LINES_AT_ONCE = 40
REQUESTS_AT_ONCE = 8
FITTING = 300
REFUSALS = (-32700, -32600)
SHARES = {"socket modern": 0.3, "socket handshake": 0.25, "stdio relay": 0.25, "HTTP modern": 0.12, "HTTP handshake": 0.08}
RICH_RULE = "  - {match: box__rich, mode: read_only, trust: trusted}\n"


def run(tally: Tally, folder: Path, count: int, *, module: str = "gateway", hang_seconds: float = HANG_SECONDS) -> None:
    """`count` frames, over all ways in. `module` is what runs as the gateway.

    After `hang_seconds` without an answer there will be none.
    """
    (folder / "box").mkdir()
    (folder / "box" / "extra.json").write_text(json.dumps([RICH]))
    with besieged(folder, RICH_RULE, module=module) as box:
        uvloop.run(Fire(box, tally, hang_seconds).all(count))
        _afterwards(tally, box)


class Fire:
    """A running gateway under fire. `sent` has every call that a well-formed frame asked for."""

    def __init__(self, box: Box, tally: Tally, hang_seconds: float) -> None:
        self._box = box
        self._tally = tally
        self._hang_seconds = hang_seconds
        self._slowest = 0.0
        self._fitting: Sequence[dict[str, Any]] = ()
        self.sent: set[tuple[str, bytes]] = set()

    async def all(self, count: int) -> None:
        """All ways at once: first the warm-up, then the rest."""
        if not self._tally.must_find:
            self._fitting = await asyncio.to_thread(fitting_calls, FITTING, self._tally.seed)
        self._tally.did["calls made from the listed schemas"] = len(self._fitting)
        warm = round(count * WARM_SHARE)
        await self._round("warm", warm, count)
        before, began = self._memory(), monotonic()
        await self._round("rest", count - warm, count)
        rate = (count - warm) / (monotonic() - began)
        grown = self._memory() - before
        self._tally.notes.append(
            f"memory of the gateway: {before >> 20} MiB warm, {grown / 2**20:+.1f} MiB after; slowest answer"
            f" {self._slowest * 1000:.0f} ms; {rate:,.0f} frames a second"
        )
        if grown > MEMORY_BYTES:
            self._tally.find(Finding.MEMORY, f"{grown >> 20} MiB more after {count - warm} frames")
        strange = [call for call in self._reached() if call not in self.sent]
        if strange:
            self._tally.find(Finding.TAKEN, f"reached the upstream, though no well-formed frame asked for it: {strange[:3]}")

    async def _round(self, name: str, count: int, total: int) -> None:
        async with asyncio.TaskGroup() as group:
            for way, share in SHARES.items():
                rng = Random(f"{self._tally.seed}:{name}:{way}")
                group.create_task(self._way(way, round(count * share), rng, total))

    async def _way(self, way: str, count: int, rng: Random, total: int) -> None:
        done = 0
        numbers = iter(range(10**9))
        while done < count and not self._found_out:
            async with AsyncExitStack() as stack:
                try:
                    client = await self._client(way, stack)
                    while done < count and not self._found_out:
                        size = min(count - done, LINES_AT_ONCE if isinstance(client, Lines) else REQUESTS_AT_ONCE)
                        frames = list(self._frames(rng, size, numbers, one_line=isinstance(client, Lines)))
                        await self._exchange(client, frames, way)
                        done += size
                        self._tally.did[f"frames over {way}"] += size
                        self._tally.progress(sum(n for what, n in self._tally.did.items() if "over" in what), total)
                except Hung as hung:
                    done += REQUESTS_AT_ONCE
                    self._tally.find(Finding.UNANSWERED, f"{way}: {hung}")
                except (OSError, asyncio.IncompleteReadError) as error:
                    done += LINES_AT_ONCE
                    self._tally.find(Finding.CRASH, f"{way}: {error!r}")

    async def _client(self, way: str, stack: AsyncExitStack) -> Lines | Http:
        transport, _, era = way.partition(" ")
        if transport == "HTTP":
            http = Http(self._box.gateway, modern=era == "modern", hang_seconds=self._hang_seconds)
            await http.begin()
            stack.callback(http.close)
            return http
        if transport == "socket":
            reader, writer = await asyncio.open_unix_connection(str(self._box.gateway.state / "mcp.sock"), limit=1 << 24)
            lines = Lines(reader, writer, self._hang_seconds)
        else:
            lines = await self._relay(stack)
        stack.callback(lines.close)
        await lines.begin(modern=era != "handshake")
        return lines

    async def _relay(self, stack: AsyncExitStack) -> Lines:
        """A `serve --stdio` process, which relays to the daemon."""
        config = str(self._box.gateway.folder / "gateway.yaml")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "serve", "--stdio", "--config", config),
            cwd=REPOSITORY,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 24,
        )

        async def ended() -> None:
            try:
                async with asyncio.timeout(10):
                    await process.wait()
            except TimeoutError:
                self._tally.find(Finding.OTHER, "the relay does not end with its client")
                process.kill()
                await process.wait()

        stack.push_async_callback(ended)
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("a process was started without its pipes")
        return Lines(process.stdout, process.stdin, self._hang_seconds)

    def _frames(self, rng: Random, size: int, numbers: Iterator[int], *, one_line: bool) -> Iterator[Frame]:
        """Frames of which no two share an id: an answer must be somebody's."""
        taken: set[str | int] = set()
        while size:
            made = frame(rng, next(numbers), self._fitting)
            if made.id in taken or (one_line and (b"\n" in made.data or not made.data.strip())):
                continue
            if made.id is not None:
                taken.add(made.id)
            if made.call is not None:
                self.sent.add(made.call)
            size -= 1
            yield made

    async def _exchange(self, client: Lines | Http, frames: list[Frame], way: str) -> None:
        starved = starved_seconds(self._pid)
        if isinstance(client, Http):
            answers = await client.exchange(frames)
            for sent, answer in zip(frames, answers, strict=True):
                self._judge_http(sent, answer, way)
        else:
            asked = {sent.id for sent in frames if sent.kind in (Kind.REFUSED, Kind.REQUEST) and sent.id is not None}
            answers = await client.exchange(frames, asked)
            self._judge_lines(frames, answers, way)
        slowest = max(answers, key=lambda answer: answer.seconds, default=None)
        if slowest is not None:
            seconds = slowest.seconds
            if seconds > ANSWER_SECONDS:  # but for what the machine gave to others meanwhile
                seconds -= starved_seconds(self._pid) - starved
            self._slowest = max(self._slowest, seconds)
            if seconds > ANSWER_SECONDS:
                self._tally.find(Finding.UNANSWERED, f"{way}: after {seconds:.1f} s: {slowest.message!r}")

    def _judge_http(self, sent: Frame, answer: Answer, way: str) -> None:
        if answer.status >= 500:
            self._tally.find(Finding.CRASH, f"{way}: status {answer.status} for {sent.data!r}")
        elif sent.kind is Kind.REFUSED:
            self._judge_refusal(sent, answer, way)
        elif sent.kind is Kind.REQUEST and answer.message.get("id") != sent.id:
            self._tally.find(Finding.UNANSWERED, f"{way}: {answer.status} {answer.message!r} to {sent.data!r}")

    def _judge_refusal(self, sent: Frame, answer: Answer, way: str) -> None:
        error = answer.message.get("error", {})
        if answer.status not in (0, 400) or error.get("code") not in REFUSALS or answer.message.get("id") != sent.id:
            self._tally.find(Finding.TAKEN, f"{way}: {answer.status} {answer.message!r} to {sent.data!r}")

    def _judge_lines(self, frames: list[Frame], answers: list[Answer], way: str) -> None:
        refused = {sent.id: sent for sent in frames if sent.kind is Kind.REFUSED and sent.id is not None}
        for answer in answers:
            sent = refused.get(answer.message["id"])
            if sent is not None:
                self._judge_refusal(sent, answer, way)
        nameless = sum(1 for sent in frames if sent.kind is Kind.REFUSED and sent.id is None)
        told = Counter(answer.message["error"]["code"] for answer in answers if answer.message["id"] is None)
        responses = sum(1 for sent in frames if sent.kind is Kind.RESPONSE)  # some have no right form, and are refused
        if not nameless <= told.total() <= nameless + responses:
            text = b"\n".join(sent.data for sent in frames if sent.id is None)
            self._tally.find(Finding.TAKEN, f"{way}: {told.total()} errors without an id for {nameless} frames: {text!r}")

    @property
    def _found_out(self) -> bool:
        """Whether it is a broken gateway, and known to be: the rest would be waiting for answers that never come."""
        return bool(self._tally.must_find) and self._tally.passed

    @property
    def _pid(self) -> int:
        if self._box.gateway.process is None:
            raise RuntimeError("the gateway was not started")
        return self._box.gateway.process.pid

    def _memory(self) -> int:
        return resident_bytes(self._pid)

    def _reached(self) -> Iterator[tuple[str, bytes]]:
        """What reached the upstream, by the name that clients use. It writes what its own parser read."""
        from gateway.core.canonical import canonical

        for line in self._box.lines("calls"):
            name, _, text = line.partition(" ")
            yield f"box__{name}", canonical(json.loads(text) or {})


def _afterwards(tally: Tally, box: Box) -> None:
    """The gateway lives, never stumbled, and its log verifies."""
    if box.gateway.process is None or box.gateway.process.poll() is not None:
        tally.find(Finding.CRASH, f"the gateway ended: {box.gateway.output[-1500:]}")
        return
    for fault in box.faults()[:3]:
        tally.find(Finding.CRASH, fault)
    report = box.verified()
    tally.did["log entries verified"] = report.size
    for problem in report.problems[:3]:
        tally.find(Finding.OTHER, str(problem))
