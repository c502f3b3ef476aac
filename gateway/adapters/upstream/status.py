"""What is told about an upstream: to callers as reasons with fixed sentences, to the operator as its status."""

import math
from dataclasses import dataclass
from enum import StrEnum

from gateway.adapters.upstream.addresses import PrivateAddress
from gateway.adapters.upstream.credentials.credentials import NoCredentials
from gateway.adapters.upstream.pins import Moved
from gateway.adapters.upstream.rpc import (
    FLOOD,
    LOST,
    MALFORMED,
    NO_CREDENTIALS,
    TIMEOUT,
    UNAUTHORIZED,
    UNAVAILABLE,
    Fault,
)
from gateway.core.errors import ConfigError
from gateway.core.outcome import Reason

SENTENCES = {
    UNAVAILABLE: "Upstream {} cannot be reached now, so nothing was sent. Try again later.",
    TIMEOUT: "Upstream {} did not answer within its deadline.",
    LOST: "The connection to upstream {} was lost before it answered.",
    FLOOD: "Upstream {} sent more than it may, so its answer was not read.",
    MALFORMED: "Upstream {} answered with something that is no acceptable MCP result.",
    NO_CREDENTIALS: "The gateway has no credentials for upstream {} now, so nothing was sent. Try again later.",
    UNAUTHORIZED: "Upstream {} refused the gateway's credentials (HTTP 401), so nothing was done. Try again later.",
}
CIRCUIT_OPEN = "upstream.circuit_open"
OPEN_FOR = "Upstream {} gave no answer several times in a row, so nothing was sent. Try again in {} s."
UNSUBSCRIBABLE = "Upstream {} is called in each caller's name, which a subscription would outlast. None is made."
BUSY = "Upstream {} has too many calls running, so nothing was sent. Try again later."
NO_SESSION = "Upstream {} could not be given a session for this caller, so nothing was sent. Try again later."
UNLISTED = "Upstream {} did not list its tools just now, so this call cannot be checked and was not sent. Try again later."
DRIFTED = "Upstream {} lists this tool with another definition than the approved one; an operator must approve it again."

PAUSED = "Its last calls had no answer, so nothing is sent for {} s."

NO_CREDENTIALS_NOW = "There are no credentials for it now; the log says why."
STARTING_UP = "It is being started."
ENDED = {
    LOST: "Its session ended.",
    FLOOD: "It sent more than it may.",
    UNAVAILABLE: "It takes no connections.",
    MALFORMED: "It does not answer as MCP wants.",
    UNAUTHORIZED: "It refuses the gateway's credentials (HTTP 401).",
    NO_CREDENTIALS: NO_CREDENTIALS_NOW,
}


class State(StrEnum):
    """Where an upstream's session stands."""

    STARTING = "starting"
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class UpstreamStatus:
    """For the operator. `stderr_tail` is the upstream's own text; `restarts` counts sessions that were up and ended.

    `sandbox`: what contains its process, or None. `own_sessions`: how many are open beside the shared one. `subscriptions`:
    to how many resources. `paused_seconds`: for how long nothing is sent, since calls had no answer, or None.
    """

    name: str
    kind: str
    state: State
    reason: str | None
    protocol: str | None
    tools: int
    restarts: int
    stderr_tail: str
    sandbox: str | None = None
    own_sessions: int = 0
    subscriptions: int = 0
    paused_seconds: float | None = None


def say(code: str, upstream: str) -> Reason:
    """The reason with that code."""
    return Reason(code, SENTENCES[code].format(upstream))


def open_for(seconds: float, upstream: str) -> Reason:
    """The reason that its circuit is open."""
    return Reason(CIRCUIT_OPEN, OPEN_FOR.format(upstream, max(1, math.ceil(seconds))))


def paused_for(seconds: float) -> str:
    """The same for the operator."""
    return PAUSED.format(max(1, math.ceil(seconds)))


def leaf(error: BaseException) -> BaseException:
    """The first real error in nested groups: the SDK's transports wrap theirs."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def why_down(error: BaseException) -> str:
    """A fixed sentence for what ended a session or an attempt."""
    match leaf(error):
        case PrivateAddress():
            return "Its name leads to an address that is not public. If that is meant, write private_addresses: true."
        case Fault(code=code) if code in ENDED:
            return ENDED[code]
        case NoCredentials():
            return NO_CREDENTIALS_NOW
        case Moved():
            return "A path of its sandbox leads elsewhere than when the gateway was started. Look at it, then restart."
        case ConfigError():
            return "Its sandbox cannot be made."
        case FileNotFoundError() | PermissionError():
            return "Its command cannot be run."
        case TimeoutError():
            return "It was not ready in time."
        case _:
            return "It cannot be reached, or does not speak MCP."
