"""A change of policy settings that would let a recorded call pass unasked, tried before anybody sees it.

The policies of a folder decide the recorded input, and then the folder as it would be. A proposal exists only where the
first is an ask and the second an allow, and where no recorded call is let through that the folder denies.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from gateway.adapters.policy.bundle import PolicyBundle, bundle_of, read_folder
from gateway.adapters.policy.embedded import start_checked
from gateway.adapters.policy.process import Fault
from gateway.adapters.policy.settings_files import edited, unified_diff
from gateway.core.decision import Effect, Verdict, failed_verdict, read_verdict
from gateway.core.lifts import Lift, Stays, lifts
from gateway.core.secret_formats import REDACTED

DECISION_SECONDS = 2.0
ALL_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Changed:
    """Recorded calls of one caller and tool that would be decided differently."""

    before: Effect
    after: Effect
    capability_id: str
    principal: str
    count: int


@dataclass(frozen=True, slots=True)
class Proposal:
    """`diff` is for the policy folder, whose revision is `revision`. `tried`: with how many recorded calls."""

    diff: str
    lifts: tuple[Lift, ...]
    revision: str
    before: Verdict
    after: Verdict
    changed: tuple[Changed, ...]
    tried: int
    redacted: bool


@dataclass(frozen=True, slots=True)
class NoProposal:
    """Why there is none, and for each reason that stays, what a person can do."""

    code: str
    why: str
    stays: tuple[Stays, ...] = ()
    instead: str = ""


async def propose(
    path: Path, seen: dict[str, Any], recorded: frozenset[str], recent: Sequence[dict[str, Any]]
) -> Proposal | NoProposal:
    """Look for settings of the folder `path` that lift every reason why the call that policy saw as `seen` is asked about.

    Args:
        recorded: the codes of the reasons it was asked for
        recent: what policy saw of other calls, to tell how far the change reaches

    Raises:
        ConfigError: the folder's policies cannot be read, or not decide
    """
    files = read_folder(path)
    bundle = bundle_of(files, path)
    before, *first = await _verdicts(bundle, [seen, *recent])
    redacted = REDACTED in str(seen)
    refused = _not_asked(before, recorded, redacted=redacted) or _bound(before)
    if refused is not None:
        return refused
    codes = sorted(reason.code for reason in before.reasons)
    found = lifts(seen, bundle.data, codes)
    stays = tuple(one for one in found if isinstance(one, Stays))
    if stays:
        return NoProposal("rule.none", "no setting lifts every reason why it was asked about", stays)
    lifted = tuple(one for one in found if isinstance(one, Lift))
    texts = edited(files, [one.edit for one in lifted], path)
    candidate = bundle_of({**files, **{name: text.encode() for name, text in texts.items()}}, path)
    after, *second = await _verdicts(candidate, [seen, *recent])
    if after.effect is not Effect.ALLOW:
        told = ", ".join(sorted(reason.code for reason in after.reasons))
        why = f"with {' and '.join(one.setting for one in lifted)} changed it would still be decided {after.effect}: {told}"
        return NoProposal("rule.no_help", why, instead="sealgate policy explain tells the rules and what would change it.")
    changed = _changed(recent, first, second)
    opened = sum(one.count for one in changed if one.before is Effect.DENY)
    if opened:
        why = f"it would also change {opened} recorded call(s) that are denied, not asked about"
        return NoProposal("rule.opens_denied", why, instead="Change the settings by hand, and try them as policy.shadow.")
    diff = "".join(unified_diff(name, files[name].decode(), text) for name, text in sorted(texts.items()))
    return Proposal(diff, lifted, bundle.revision, before, after, changed, min(len(first), len(second)), redacted)


def _not_asked(before: Verdict, recorded: frozenset[str], *, redacted: bool) -> NoProposal | None:
    """Where the folder does not ask about it, or what is kept of the call is not what policy decided on."""
    same = before.effect is Effect.ASK and recorded == {reason.code for reason in before.reasons}
    if redacted and not same:
        why = "secrets were taken out of what is kept of this call, and without them this folder decides otherwise"
        return NoProposal("rule.secret", why, instead="A secret cannot stand in a setting. Answer each such call.")
    if before.effect is Effect.ASK:
        return None
    told = before.cause or ", ".join(sorted(reason.code for reason in before.reasons))
    why = f"the policies of this folder do not ask about it: {before.effect} ({told})"
    return NoProposal("rule.not_asked", why, instead="Where they differ from those in force: sealgate policy reload")


def _bound(before: Verdict) -> NoProposal | None:
    """Where policy wants somebody's yes by name or number: one person's rule must not take its place."""
    wanted = before.obligations
    if wanted.approver is None and wanted.quorum is None:
        return None
    who = "a quorum" if wanted.quorum is not None else "one approver by name"
    return NoProposal(
        "rule.bound", f"policy wants the yes of {who} for it, and a rule would do without", instead="Answer each such call."
    )


async def _verdicts(bundle: PolicyBundle, inputs: Sequence[Mapping[str, Any]]) -> list[Verdict]:
    """What these policies decide, in a process of their own; of fewer inputs where time is over. Raises `ConfigError`."""
    process = await start_checked(bundle, DECISION_SECONDS)
    loop = asyncio.get_running_loop()
    until = loop.time() + ALL_SECONDS
    found: list[Verdict] = []
    try:
        for seen in inputs:
            if loop.time() > until:
                break
            answer = await process.ask(b"D", orjson.dumps(seen), loop.time() + DECISION_SECONDS)
            if isinstance(answer, Fault):
                found.append(failed_verdict(answer.where()))
            else:
                found.append(read_verdict(orjson.loads(answer), str))
    finally:
        await process.stop()
    return found


def _changed(
    recent: Sequence[Mapping[str, Any]], first: Sequence[Verdict], second: Sequence[Verdict]
) -> tuple[Changed, ...]:
    counts = Counter(
        (before.effect, after.effect, str(seen["resource"]["id"]), f"{seen['subject']['type']}:{seen['subject']['id']}")
        for seen, before, after in zip(recent, first, second, strict=False)
        if before.effect is not after.effect  # also where one of them is for an error: a call that nobody decides is closed
    )
    return tuple(Changed(*what, count) for what, count in counts.most_common())
