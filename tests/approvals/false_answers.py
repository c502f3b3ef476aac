"""Answers that are none: broken, turned round, by the wrong key, on the wrong way, or to something else."""

import random
from typing import Any

import orjson

from gateway.core.answer import Answer, answer_payload
from gateway.core.capability import ApprovalMode
from gateway.core.obligations import ApproveFor, Route
from tests.approvals.arena import ACTOR, BOB, CAROL, STRANGER, Arena
from tests.approvals.changed_grounds import other_character
from tests.core.calls import ALICE, signed_answer


async def false_answers(arena: Arena, place: str, rng: random.Random) -> None:
    """A call that nobody approved, for which something comes that looks like a yes."""
    case = await arena.asked(f"{place}, unanswered", rng)
    request = await arena.request(case)
    other = await arena.request(await arena.asked(f"{place}, another", rng))
    real = BOB.sign(request)
    spoiled = orjson.loads(orjson.dumps(real))
    spoiled["signatures"][0]["sig"] = other_character(spoiled["signatures"][0]["sig"], rng)
    said_no = BOB.sign(request, Answer.REJECT)
    webhook = answer_payload(request.document(), Answer.APPROVE, BOB.principal, "", Route.WEBHOOK)
    elicited = answer_payload(request.document(), Answer.APPROVE, str(ALICE), "", Route.ELICITATION)
    for_run = answer_payload(request.document(), Answer.APPROVE, BOB.principal, "", reach=ApproveFor.RUN)
    in_the_name = answer_payload(request.document(), Answer.APPROVE, CAROL.principal, "")
    attempts: list[tuple[str, dict[str, Any], Route]] = [
        ("answer signature", spoiled, Route.CLI),
        ("answer turned", {**said_no, "payload": real["payload"]}, Route.CLI),
        ("answer to another", BOB.sign(other), Route.CLI),
        ("answer key", STRANGER.sign(request), Route.CLI),
        ("answer of an actor", ACTOR.sign(request), Route.CLI),
        ("answer route", real, Route.WEBHOOK),
        ("answer route", real, Route.ELICITATION),
        ("answer route", signed_answer(BOB.signer, webhook), Route.CLI),
        ("answer route", signed_answer(BOB.signer, elicited), Route.ELICITATION),
        ("answer reach", signed_answer(BOB.signer, for_run), Route.CLI),
        ("answer approver", signed_answer(BOB.signer, in_the_name), Route.CLI),
    ]
    if request.needed > 1:
        attempts.append(("answer of too few", real, Route.CLI))
    how, envelope, route = rng.choice(attempts)
    await arena.world.journal.questions.answer(case.approval_id, envelope, route)
    await arena.must_not_run(how, case)
    if case.call.mode in (ApprovalMode.DELEGATED, ApprovalMode.DESTRUCTIVE):
        await arena.world.journal.questions.attest(case.approval_id, Answer.APPROVE)
        await arena.must_not_run("answer elicited", case)
