"""kill -9 of the whole gateway in the middle of calls, or while it starts; after each, the restart and what it finds."""

import time
from pathlib import Path
from random import Random

from faults.outside import Answers, Callers, Upstream, audit_state, counting_upstream, new_gateway, retry, start
from faults.tally import Finding, Tally
from tests.running import RunningGateway, until

CALLERS = 6
KILLS_PER_LIFE = 20
MOST_SECONDS = 0.25
START_SECONDS = 1.5
AUDIT_EVERY = 5
SAMPLE = 40


def run(tally: Tally, kills: int, folder: Path) -> None:
    """That many kills."""
    dice = Random(tally.seed)
    for life, first in enumerate(range(0, kills, KILLS_PER_LIFE)):
        place = folder / f"life-{life}"
        place.mkdir()
        with counting_upstream(place) as upstream:
            gateway = new_gateway(place, upstream.url, deadline=5)
            try:
                _life(tally, dice, gateway, upstream, min(KILLS_PER_LIFE, kills - first), kills)
            finally:
                gateway.stop()
    if kills >= KILLS_PER_LIFE:
        tally.check(tally.did["retries in_doubt"], "no kill ever fell into a call: the part proves nothing")


def _life(tally: Tally, dice: Random, gateway: RunningGateway, upstream: Upstream, kills: int, total: int) -> None:
    answers = Answers()
    for number in range(kills):
        where = f"{gateway.folder.name}, kill {number}, seed {tally.seed}"
        tally.did["kills"] += 1
        tally.progress(tally.did["kills"], total)
        if dice.random() < 0.15:
            gateway.kill()
            gateway.launch()
            time.sleep(dice.uniform(0.0, START_SECONDS))  # where in its start the kill falls is left to chance
            tally.did["kills while it started"] += 1
        else:
            callers = Callers(gateway, answers, [f"{number}-{caller}" for caller in range(CALLERS)])
            before = len(answers.told)
            until(lambda before=before: len(answers.told) > before, seconds=60, what="the first answer")  # type: ignore[misc]
            time.sleep(dice.uniform(0.0, MOST_SECONDS))  # as above
            gateway.kill()
            callers.join()
        if gateway.process is not None and gateway.process.poll() is None:
            gateway.kill()
        try:
            start(gateway)
        except AssertionError as error:
            tally.find(Finding.UNVERIFIABLE, f"{where}: it does not start again: {error}")
            return
        retry(tally, where, gateway, answers, upstream, answers.unanswered())
        if number % AUDIT_EVERY == AUDIT_EVERY - 1:
            audit_state(tally, where, gateway, answers, upstream)
    completed = list(answers.completed())
    retry(tally, where, gateway, answers, upstream, dice.sample(completed, min(SAMPLE, len(completed))))
    audit_state(tally, where, gateway, answers, upstream)
    tally.did["calls acknowledged"] += len(answers.told)
