"""All checks, in the order in which one rests on the other."""

from collections.abc import Callable, Iterator

from gateway.core.errors import GatewayError
from gateway.doctor import callers, clients, clock, configuration, engine, keys, log, machine, state, upstreams
from gateway.doctor.deployment import Deployment
from gateway.doctor.finding import Finding, fail

Check = Callable[[Deployment], Iterator[Finding]]

CHECKS: dict[str, Check] = {
    "machine": machine.look,
    "configuration": configuration.look,
    "state": state.look,
    "keys": keys.look,
    "callers": callers.look,
    "clock": clock.look,
    "engine": engine.look,
    "log": log.look,
    "upstreams": upstreams.look,
    "clients": clients.look,
}


def examine(deployment: Deployment) -> Iterator[Finding]:
    """Every finding. A check that cannot go on is a finding, too, and keeps no other from being made."""
    for name, look in CHECKS.items():
        try:
            yield from look(deployment)
        except GatewayError as error:
            yield fail(name, error.message, error.hint or "See the message.")
        except Exception as error:  # noqa: BLE001 - a doctor that falls over helps nobody
            yield fail(name, f"this could not be looked at: {error!r}", "Report it, with this line.")
