"""Tokens that are kept until shortly before they expire: one for each party, asked for by one request at a time."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from gateway.adapters.upstream.credentials.credentials import NoCredentials, Party
from gateway.adapters.upstream.credentials.endpoint import Token

MAX_KEPT = 1_000
MAX_ASKING = 128
LEEWAY_SECONDS = 30.0
LEEWAY_SHARE = 0.2
"""A token is not used in the last part of its life, at most `LEEWAY_SECONDS`: it must still be good when it arrives."""

FAILED_SECONDS = 1.0
"""Who was refused a token is not asked for again for this long, so that a broken endpoint is not stormed."""

Fetch = Callable[[Party | None], Awaitable[Token]]


class Tokens:
    """See the module. `fetch` raises `NoCredentials`."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._kept: OrderedDict[Party | None, tuple[str, float]] = OrderedDict()
        self._failed: OrderedDict[Party | None, tuple[str, float]] = OrderedDict()
        self._asking: dict[Party | None, asyncio.Task[str]] = {}
        self._dropped: set[asyncio.Task[str]] = set()

    async def of(self, party: Party | None) -> str:
        """A token that is good now. Raises `NoCredentials`."""
        now = time.monotonic()
        value, until = self._kept.get(party, ("", 0.0))
        if until > now:
            self._kept.move_to_end(party)
            return value
        why, until = self._failed.get(party, ("", 0.0))
        if until > now:
            raise NoCredentials(why)
        asking = self._asking.get(party)
        if asking is None:
            if len(self._asking) >= MAX_ASKING:
                raise NoCredentials("too many tokens are being asked for at once")
            asking = self._asking[party] = asyncio.create_task(self._ask(party))
            asking.add_done_callback(_looked_at)
        return await asyncio.shield(asking)  # who waits may leave; others wait as well

    def drop(self, value: str) -> None:
        """This one is not good any more."""
        for party in [party for party, (kept, _) in self._kept.items() if kept == value]:
            del self._kept[party]

    def drop_all(self) -> None:
        """What they were asked for with has changed. Those that are on their way are not kept."""
        self._kept.clear()
        self._failed.clear()
        self._dropped.update(self._asking.values())
        self._asking.clear()

    async def close(self) -> None:
        """End all that is on its way."""
        tasks = [*self._asking.values(), *self._dropped]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, party: Party | None) -> str:
        task = asyncio.current_task()
        asked_at = time.monotonic()
        try:
            token = await self._fetch(party)
        except NoCredentials as error:
            if self._asking.get(party) is task:
                _put(self._failed, party, (str(error), time.monotonic() + FAILED_SECONDS))
            raise
        else:
            if self._asking.get(party) is task:
                _put(self._kept, party, (token.value, asked_at + _used_for(token.seconds)))
            return token.value
        finally:
            if self._asking.get(party) is task:
                del self._asking[party]
            if task is not None:
                self._dropped.discard(task)


def _used_for(seconds: float) -> float:
    return seconds - min(LEEWAY_SECONDS, seconds * LEEWAY_SHARE)


def _put(kept: OrderedDict[Party | None, tuple[str, float]], party: Party | None, told: tuple[str, float]) -> None:
    kept[party] = told
    kept.move_to_end(party)
    while len(kept) > MAX_KEPT:
        kept.popitem(last=False)


def _looked_at(task: "asyncio.Task[str]") -> None:
    if not task.cancelled():
        task.exception()  # whoever waited may be gone
