"""What an approved call stands on, changed: the policy, the tool, what the journal keeps of the question and the answers."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import orjson

from gateway.core.answer import Answer, answer_payload
from gateway.core.decision import Effect
from gateway.core.obligations import Quorum, Route
from tests.approvals.arena import ACTOR, BOB, DORA, STRANGER, Arena, Case
from tests.approvals.changed_calls import mode
from tests.core.calls import ALICE, decide, signed_answer

_CHARACTERS = "ABCDEFGHabcdefgh0123+/"


async def policy_revision(arena: Arena, case: Case, rng: random.Random) -> Case:
    decision = decide(Effect.ASK, revision="policy-9")
    return replace(case, decision=replace(decision, obligations=case.decision.obligations))


async def another_mode(arena: Arena, case: Case, rng: random.Random) -> Case:
    return mode(case, rng)


async def definition(arena: Arena, case: Case, rng: random.Random) -> Case:
    description = rng.choice(["Send it. ", "send it.", "", "Send it.\u200b"])
    return replace(case, call=case.call.but(description=description))


async def other_obligations(arena: Arena, case: Case, rng: random.Random) -> Case:
    """Policy wants more of the approvers now, under the same revision."""
    now = case.decision.obligations
    other = rng.choice(
        [
            replace(now, approver="user:erin"),
            replace(now, quorum=Quorum(3)),
            replace(now, quorum=Quorum(1, ("user:erin",))),
            replace(now, routes=frozenset({Route.WEBHOOK})),
        ]
    )
    return replace(case, decision=replace(case.decision, obligations=other))


async def policy_allows_no_longer_asks(arena: Arena, case: Case, rng: random.Random) -> Case:
    return replace(case, decision=decide(Effect.DENY))


async def changed_answer(arena: Arena, case: Case, rng: random.Random) -> Case:
    """Somebody with the file changes one bit, or one field, of what an approver signed."""
    answers = orjson.loads(arena.kept("SELECT answer FROM approvals WHERE approval_id = ?", case.approval_id))
    one = rng.choice(answers)
    envelope = one["envelope"]
    signature = envelope["signatures"][0]
    match rng.randrange(7):
        case 0:
            envelope["payload"] = other_character(envelope["payload"], rng)
        case 1:
            signature["sig"] = other_character(signature["sig"], rng)
        case 2:
            signature["keyid"] = rng.choice([DORA.signer.keyid, STRANGER.signer.keyid, "00"])
            if signature["keyid"] == one["keyid"]:
                signature["keyid"] = BOB.signer.keyid
        case 3:
            envelope["payloadType"] += "x"
        case 4:
            one["route"] = rng.choice(["webhook", "elicitation"])
        case 5:
            envelope.clear()
        case _:
            del answers[-1]
    if not answers or rng.random() < 0.2:
        arena.kept("UPDATE approvals SET answer = NULL WHERE approval_id = ?", case.approval_id)
    else:
        told = orjson.dumps(answers).decode()
        arena.kept("UPDATE approvals SET answer = ? WHERE approval_id = ?", told, case.approval_id)
    return case


async def forged_answer(arena: Arena, case: Case, rng: random.Random) -> Case:
    """Somebody with the file puts an answer of their own there: by another key, by an actor, as a yes to something else."""
    request = await arena.request(case)
    by = rng.choice([STRANGER, ACTOR, BOB])
    asked = request.document()
    if by is BOB:
        asked |= {"call_digest": "hmac-sha256:00"} if rng.random() < 0.5 else {"expires_at": "2999-01-01T00:00:00.000Z"}
    payload = answer_payload(asked, Answer.APPROVE, by.principal, "")
    kept = {
        "approval_id": request.approval_id,
        "answer": "approve",
        "approver": by.principal,
        "keyid": by.signer.keyid,
        "comment": "",
        "envelope": signed_answer(by.signer, payload),
    }
    told = orjson.dumps([kept] * request.needed).decode()
    arena.kept("UPDATE approvals SET answer = ? WHERE approval_id = ?", told, case.approval_id)
    return case


async def doubled_answer(arena: Arena, case: Case, rng: random.Random) -> Case:
    """One yes is written twice, where two are wanted."""
    answers = orjson.loads(arena.kept("SELECT answer FROM approvals WHERE approval_id = ?", case.approval_id))
    if len(answers) < 2:
        return await forged_answer(arena, case, rng)
    told = orjson.dumps([answers[0]] * 2).decode()
    arena.kept("UPDATE approvals SET answer = ? WHERE approval_id = ?", told, case.approval_id)
    return case


async def changed_request(arena: Arena, case: Case, rng: random.Random) -> Case:
    """Somebody with the file changes what was asked, and so what the answers are to."""
    document = (await arena.request(case)).document()
    document["reasons"] = [{"code": reason["code"], "message": ""} for reason in document["reasons"]]
    other: dict[str, Any] = rng.choice(
        [
            {"expires_at": "2999-01-01T00:00:00.000Z"},
            {"call_digest": "hmac-sha256:00"},
            {"mode": "read_only"},
            {"policy_revision": "policy-8"},
            {"required_approver": "user:bob"},
            {"principal_chain": [str(ALICE)]},
            {"advisory": True},
            {"tenant_id": "other"},
            {"capability_id": "mail__other"},
            {"definition_digest": "sha256:00"},
            {"envelope_id": "other"},
        ]
    )
    told = orjson.dumps({**document, **other}).decode()
    arena.kept("UPDATE approvals SET request = ? WHERE approval_id = ?", told, case.approval_id)
    return case


ENDING: list[Callable[[Arena, Case, random.Random], Awaitable[Case]]] = [
    policy_revision,
    another_mode,
    definition,
    other_obligations,
    policy_allows_no_longer_asks,
    changed_answer,
    changed_answer,
    forged_answer,
    doubled_answer,
    changed_request,
]
"""Each of these takes the yes of the approved call away, for good."""


def other_character(encoded: str, rng: random.Random) -> str:
    """One character of a base64 text is another. How much is drawn does not depend on the text."""
    place, start = rng.randrange(len(encoded) - 4), rng.randrange(len(_CHARACTERS))
    turned = _CHARACTERS[start:] + _CHARACTERS[:start]
    return encoded[:place] + next(char for char in turned if char != encoded[place]) + encoded[place + 1 :]
