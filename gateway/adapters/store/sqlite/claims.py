"""Who holds a key: the calls of this process that have not ended. In memory only (docs/decisions/0003)."""

import asyncio
from dataclasses import dataclass, field

import apsw

from gateway.adapters.store.sqlite import rows
from gateway.core.call import IdempotencyKey, SealedCall
from gateway.core.ports import Clock, SealingKey
from gateway.core.reservation import Mismatch, Running, is_same_caller


@dataclass(slots=True)
class Claim:
    """A key held by the call of `envelope_id`.

    `fence` belongs to the row once the call was begun, and `sealing` is what its arguments were sealed under then.
    `target`: the key of the call that this one undoes, held as well.
    """

    envelope_id: str
    fingerprint: str
    fence: int | None = None
    sealing: SealingKey | None = None
    target: str | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Claims:
    """At most one call holds a key. Owned by the event loop. `wait_seconds`: how long a call waits for a key."""

    def __init__(self, reader: apsw.Connection, clock: Clock, wait_seconds: float) -> None:
        self._reader = reader
        self._clock = clock
        self._wait_seconds = wait_seconds
        self._held: dict[str, Claim] = {}

    async def take(self, call: SealedCall, key: IdempotencyKey) -> Mismatch | Running | None:
        """Hold the call's key, and that of the call it undoes: nobody else undoes that one, or retries it, meanwhile.

        Waits until whoever holds it has ended; tells what the call meets where it cannot have it.
        """
        deadline = self._clock.monotonic() + self._wait_seconds
        refused = await self._hold(key.reservation, call, call.fingerprint, deadline, compare=True)
        while refused is None and call.compensates is not None:
            target, own = rows.call_of(self._reader, call.compensates), self._held[key.reservation]
            if target is None or not is_same_caller(call, target) or target.reservation in (key.reservation, own.target):
                break  # held; or `meet` says why it cannot be undone. Nobody holds, or waits for, another caller's key
            if own.target is not None:  # its row got a name of its own while this call waited
                self._let_go(own.target, call)
                own.target = None
            refused = await self._hold(target.reservation, call, target.fingerprint, deadline, compare=False)
            if refused is None:
                own.target = target.reservation
        return refused

    def of(self, call: SealedCall) -> Claim | None:
        """The claim of this very call."""
        claim = None if call.idempotency is None else self._held.get(call.idempotency.reservation)
        return claim if claim is not None and claim.envelope_id == call.envelope_id else None

    def release(self, call: SealedCall) -> None:
        """Let go of what the call holds, if it holds anything. Who waits goes on."""
        claim = self.of(call)
        if claim is None or call.idempotency is None:
            return
        self._let_go(call.idempotency.reservation, call)
        if claim.target is not None:
            self._let_go(claim.target, call)

    async def _hold(
        self, reservation: str, call: SealedCall, fingerprint: str, deadline: float, *, compare: bool
    ) -> Mismatch | Running | None:
        while (claim := self._held.get(reservation)) is not None:
            if compare and claim.fingerprint != fingerprint:
                return Mismatch()
            try:
                async with asyncio.timeout(max(0.0, deadline - self._clock.monotonic())):
                    await claim.ended.wait()
            except TimeoutError:
                return Running()
        # No await between the look above and the claim below: at most one call holds a key.
        self._held[reservation] = Claim(call.envelope_id, fingerprint)
        return None

    def _let_go(self, reservation: str, call: SealedCall) -> None:
        claim = self._held.get(reservation)
        if claim is not None and claim.envelope_id == call.envelope_id:
            del self._held[reservation]
            claim.ended.set()
