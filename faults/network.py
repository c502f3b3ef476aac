"""The line to the upstream is cut before a call, after it, in the middle of its answer, or goes silent.

In doubt is exactly what may have happened: a call that left the gateway and has no whole answer. Nothing is sent twice.
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from faults.outside import Answers, audit_state, counting_upstream, new_gateway, what
from faults.proxy import Proxy, Way
from faults.tally import Finding, Tally
from tests.running import ModernClient, RunningGateway, free_port, until

CALLS_EACH = 20
AT_ONCE = 8
DEADLINE_SECONDS = 4.0
REFUSED = 5
EXPECTED: dict[str, tuple[str, tuple[int, ...]]] = {
    Way.PASS: ("completed", (1,)),
    Way.BEFORE: ("in_doubt", (0,)),
    Way.AFTER: ("in_doubt", (1,)),
    Way.MIDDLE: ("in_doubt", (1,)),
    Way.STALL: ("in_doubt", (1,)),
    Way.RESET: ("in_doubt", (0, 1)),
}
"""What the caller is told, and how often the effect may have happened."""


def run(tally: Tally, folder: Path) -> None:
    """Calls of each way, each made again afterwards; then calls while nobody listens."""
    listen = free_port()
    with counting_upstream(folder) as upstream, Proxy(listen, upstream.port) as proxy:
        gateway = new_gateway(folder, f"http://127.0.0.1:{listen}/mcp", deadline=DEADLINE_SECONDS)
        try:
            answers = Answers()
            keys = [f"{way}-{number}" for number in range(CALLS_EACH) for way in Way]
            with ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(lambda key: _ask(tally, gateway, answers, key), keys))
            sent = Counter(proxy.met)
            _judge(tally, answers, upstream.effects())
            with ThreadPoolExecutor(AT_ONCE) as pool:
                again = dict(zip(keys, pool.map(lambda key: _told(gateway, key), keys), strict=True))
            for key, told in again.items():
                first = what(answers.told[key]) if key in answers.told else "nothing"
                wanted = "replayed" if first == "completed" else first
                tally.check(told == wanted, f"{key} was {first}; again it is {told}")
            tally.check(proxy.met == sent, f"a call was sent again: {dict(proxy.met - sent)}")
            _nobody_listens(tally, gateway, proxy, answers)
            audit_state(tally, f"seed {tally.seed}", gateway, answers, upstream)
            tally.did["calls acknowledged"] += len(answers.told)
        finally:
            gateway.stop()


def _ask(tally: Tally, gateway: RunningGateway, answers: Answers, key: str) -> None:
    """Until the call was sent: after a cut the upstream is shunned for a moment, and calls are refused unsent."""
    with ModernClient(gateway) as client:

        def sent() -> bool:
            asked = answers.ask(client, key)
            return asked and what(answers.told[key]) not in ("denied", "failed")

        try:
            until(sent, seconds=60, what=f"an end of {key}")
        except AssertionError as error:
            tally.find(Finding.OTHER, f"{error}: {answers.told.get(key)}")
    tally.did[f"calls: {key.partition('-')[0]}"] += 1


def _told(gateway: RunningGateway, key: str) -> str:
    with ModernClient(gateway) as client:
        return what(client.call("count__effect", {"key": key}, key=key))


def _judge(tally: Tally, answers: Answers, effects: Counter[str]) -> None:
    for key, answer in answers.told.items():
        told, (wanted, times) = what(answer), EXPECTED[key.partition("-")[0]]
        tally.check(told == wanted, f"{key} is told {told}, not {wanted}")
        if effects[key] > max(times):
            tally.find(Finding.DUPLICATE, f"{key} happened {effects[key]} times")
        tally.check(effects[key] >= min(times), f"{key} did not happen")


def _nobody_listens(tally: Tally, gateway: RunningGateway, proxy: Proxy, answers: Answers) -> None:
    """No byte leaves: the calls certainly had no effect, so they are not in doubt, and run when somebody listens again."""
    proxy.shut()
    keys = [f"pass-refused-{number}" for number in range(REFUSED)]
    for key in keys:
        told = _told(gateway, key)
        tally.check(told in ("denied", "failed"), f"{key}, with nobody listening, is told {told}")
        tally.did["calls with nobody listening"] += 1
    proxy.open()
    for key in keys:
        _ask(tally, gateway, answers, key)
        tally.check(what(answers.told[key]) == "completed", f"{key}, with somebody listening again, is {answers.told[key]}")
