"""What both engines make of a verdict: the decision, and a line in the process's own log where policy could not be asked."""

import structlog

from gateway.core.call import SealedCall
from gateway.core.decision import PolicyDecision, Verdict, shown_input

MAX_CAUSE_CHARS = 300

_log = structlog.get_logger("sealgate.policy")


def decided(
    verdict: Verdict, call: SealedCall, document: bytes, *, engine: str, revision: str, decision_id: str
) -> PolicyDecision:
    """The decision of `engine`, whose policies at `revision` said `verdict` of the input `document`."""
    if verdict.cause is not None:
        _log.warning("policy_failed", engine=engine, cause=verdict.cause[:MAX_CAUSE_CHARS], decision_id=decision_id)
    return PolicyDecision(
        decision_id,
        engine,
        revision,
        verdict.effect,
        verdict.reasons,
        verdict.obligations,
        verdict.cause,
        shown_input(call, document),
    )
