"""What was promised, held against what is there after a fault: the log, the effects, and what a retry is told."""

import shutil
from base64 import b64decode
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import orjson

from faults.inside import Deployment, InsideGateway, ReadLog, read_log
from faults.tally import Finding, Tally
from faults.world import World
from gateway.adapters.store.sqlite.check import check_file
from gateway.adapters.vault import FileVault
from gateway.core.errors import GatewayError
from gateway.core.merkle import leaf_hash
from gateway.core.outcome import AwaitingApproval, Completed, InDoubt, Outcome, Receipt, Replayed


@dataclass(slots=True)
class Promises:
    """Everything that callers were told, and the checkpoints that were published."""

    tools: dict[str, str] = field(default_factory=dict)
    """Every key that was ever sent, with its tool."""
    receipts: list[Receipt] = field(default_factory=list)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    in_doubt: set[str] = field(default_factory=set)
    approved: set[str] = field(default_factory=set)
    """Ids of approval requests whose yes was confirmed."""
    kept: list[str] = field(default_factory=list)

    def told(self, key: str, outcome: Outcome) -> None:
        """Note an answer."""
        self.receipts.append(outcome.receipt)
        match outcome:
            case Completed(result=result) | Replayed(result=result):
                self.results[key] = result
            case InDoubt():
                self.in_doubt.add(key)
            case _:
                pass


def read_entries(log: ReadLog) -> list[tuple[str, str]]:
    """(kind, id) of every entry, as it says itself."""
    said = []
    for stored in log.entries:
        predicate = orjson.loads(b64decode(orjson.loads(stored.entry)["payload"]))["predicate"]
        said.append((predicate["kind"], predicate["id"]))
    return said


def audit_log(tally: Tally, where: str, log: ReadLog, promises: Promises, world: World) -> None:
    """The log verifies, holds every receipt, and has an intent for every effect; no effect happened twice."""
    for problem in log.report.problems[:1]:
        tally.find(Finding.UNVERIFIABLE, f"{where}: {problem}")
    said = read_entries(log)
    for receipt in promises.receipts:
        place = receipt.leaf_index
        if place >= len(said) or said[place] != (receipt.kind, receipt.envelope_id):
            tally.find(Finding.LOST, f"{where}: entry {place} is not the {receipt.kind} of {receipt.envelope_id}")
        elif leaf_hash(log.entries[place].entry).hex() != receipt.leaf_hash:
            tally.find(Finding.LOST, f"{where}: entry {place} is not the one its receipt names")
    intents = {name for kind, name in said if kind == "intent"}
    for effect in world.effects:
        if effect.envelope_id not in intents:
            tally.find(Finding.UNINTENDED, f"{where}: {effect.key} happened in {effect.envelope_id}, which has no intent")
    for key in world.repeated():
        tally.find(Finding.DUPLICATE, f"{where}: {key} happened more than once")


async def audit_retries(
    tally: Tally, where: str, gateway: InsideGateway, promises: Promises, world: World, keys: Iterable[str]
) -> None:
    """Each call again: what was completed is replayed as it was, what is in doubt stays so, nothing happens twice.

    The retries run against `world`, which knows what happened before.
    """
    for key in keys:
        happened = world.happened(key)
        try:
            told = await call(gateway, promises.tools[key], key)
        except GatewayError as error:
            tally.find(Finding.LOST, f"{where}: {key} again: {error.code}: {error.message}")
            continue
        tally.did["calls retried"] += 1
        match told:
            case Replayed(result=result):
                if promises.results.get(key, result) != result:
                    tally.find(Finding.LOST, f"{where}: {key} again is answered {result}, not {promises.results[key]}")
            case _ if key in promises.results:
                tally.find(Finding.LOST, f"{where}: {key} was completed; again it is {told}")
            case InDoubt():
                tally.did["retries in doubt"] += 1
            case _ if key in promises.in_doubt:
                tally.find(Finding.LOST, f"{where}: {key} was in doubt; again it is {told}")
            case _ if happened:
                tally.find(Finding.DUPLICATE, f"{where}: {key} had happened; again it is {told}")
            case _:
                pass
    for key in world.repeated():
        tally.find(Finding.DUPLICATE, f"{where}: {key} happened more than once")


async def audit_approvals(tally: Tally, where: str, gateway: InsideGateway, promises: Promises) -> None:
    """A yes that was confirmed still is one, or was used."""
    rows = await gateway.journal.questions.rows(pending_only=False)
    states = {row.request.approval_id: row.state.value for row in rows}
    for approval_id in promises.approved:
        if states.get(approval_id) not in ("approved", "consumed"):
            tally.find(Finding.LOST, f"{where}: approval {approval_id} was given and is {states.get(approval_id)}")


async def audit_folder(
    tally: Tally, where: str, folder: Path, made: Deployment, promises: Promises, world: World, again: Iterable[str]
) -> None:
    """Everything above, on a copy of `folder` that the ordinary code opens and recovers; `again` are the keys to retry.

    The copy is beside it and goes away. The retries have their effects in a world of their own.
    """
    copy = folder.with_name(f"{folder.name}-copy")
    shutil.copytree(folder, copy)
    after = World(world.effects)
    try:
        await _audit_copy(tally, where, copy, made, promises, after, again)
    except (GatewayError, apsw.Error) as error:
        tally.find(Finding.UNVERIFIABLE, f"{where}: {error}")
    except Exception as error:  # noqa: BLE001 what a broken gateway left can be anything
        tally.find(Finding.OTHER, f"{where}: {error!r}, which is no GatewayError")
    shutil.rmtree(copy)


async def _audit_copy(
    tally: Tally, where: str, copy: Path, made: Deployment, promises: Promises, world: World, again: Iterable[str]
) -> None:
    gateway = InsideGateway(copy, made, world)
    try:
        tally.did["calls found in doubt"] += await gateway.journal.recover()
        audit_log(tally, where, read_log(gateway.path, made.keys, promises.kept), promises, world)
        await audit_approvals(tally, where, gateway, promises)
        await audit_retries(tally, where, gateway, promises, world, again)
    finally:
        gateway.close()
    vault = FileVault(copy / "vault.db", made.keys.vault_key)
    try:
        checked = check_file(gateway.path, made.keys.trusted(), kept=promises.kept, vault=vault)
    finally:
        vault.close()
    for problem in checked.problems[:1]:
        tally.find(Finding.UNVERIFIABLE, f"{where}: after its recovery: {problem}")


USERS = ("alice", "bert", "carol", "dora", "emil")


def user_of(key: str) -> str:
    """Whose call it is: the same user for the same key, so that the vault gets several keys at several times."""
    return USERS[sum(key.encode()) % len(USERS)]


async def call(gateway: InsideGateway, tool: str, key: str) -> Outcome:
    """The call of `key`, by its user. Raises `GatewayError`."""
    return await gateway.call(tool, {"key": key}, key, who=user_of(key))


async def call_and_approve(gateway: InsideGateway, promises: Promises, tool: str, key: str) -> Outcome:
    """The call of `key`; where a person must approve it, Bob does, and it is made again. Raises `GatewayError`."""
    promises.tools[key] = tool
    outcome = await call(gateway, tool, key)
    promises.told(key, outcome)
    if isinstance(outcome, AwaitingApproval):
        if await gateway.approve(outcome.approval_id):
            promises.approved.add(outcome.approval_id)
        outcome = await call(gateway, tool, key)
        promises.told(key, outcome)
    return outcome
