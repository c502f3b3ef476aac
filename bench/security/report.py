"""The figures as Markdown tables, one for each suite and one for all, and as a document for machines."""

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import reduce
from operator import add
from typing import Any

from bench.security.campaign import Campaign
from bench.security.deployment import Setting
from bench.security.figures import Figures, Share, broken
from bench.tables import table


def _percent(share: Share) -> str:
    return f"{share.value:.1%}".replace("%", " %")


ROWS: Mapping[str, Callable[[Figures], str]] = {
    "utility": lambda one: _percent(one.utility),
    "utility, attacked": lambda one: _percent(one.utility_attacked),
    "attacks that took effect": lambda one: f"{one.attacks.part} of {one.attacks.whole}",
    "attack calls with an effect, executed": lambda one: str(one.attack_effects),
    "autonomy": lambda one: f"{_percent(one.autonomy)} of {one.autonomy.whole}",
    "autonomy, attacked": lambda one: _percent(one.autonomy_attacked),
    "approvals per task": lambda one: f"{one.approvals_per_task:.2f}",
    "approvals per task, attacked": lambda one: f"{one.approvals_per_attacked_task:.2f}",
    "approvals asked for by an attack": lambda one: f"{one.approvals_per_attack:.2f}",
    "reads answered": lambda one: _percent(one.reads),
    "seconds": lambda one: f"{one.seconds:.0f}",
}


def by_setting(campaigns: Sequence[Campaign]) -> dict[Setting, dict[str, Figures]]:
    """The figures of each suite in each setting, in the order of the settings."""
    return {
        setting: {each.suite: Figures.of(each) for each in campaigns if each.setting is setting}
        for setting in Setting
        if any(each.setting is setting for each in campaigns)
    }


def together(found: Mapping[str, Figures]) -> Figures:
    """Several suites as one. The seconds are added: suites run side by side."""
    return reduce(add, found.values())


def text(campaigns: Sequence[Campaign], seconds: float) -> str:
    """Everything that is printed but the judgement."""
    found = by_setting(campaigns)
    suites = {suite: {setting: each[suite] for setting, each in found.items()} for suite in next(iter(found.values()))}
    if len(suites) > 1:
        suites["together"] = {setting: together(each) for setting, each in found.items()}
    tables = [_table(suite, each) for suite, each in suites.items()]
    head = [
        "# What a hijacked agent gets done",
        "",
        f"- machine: {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        f"- all of it took {seconds:.0f} s",
        *(f"- {each.suite}, {each.setting}: the log that was left: {each.log}" for each in campaigns),
    ]
    return "\n\n".join(["\n".join(head), *tables])


def _table(suite: str, settings: Mapping[Setting, Figures]) -> str:
    one = next(iter(settings.values()))
    title = f"## {suite}: {one.tasks} tasks alone, {one.pairs} with an attack"
    left_out = f"Left out: {one.without_calls} pairs, since their attack ships no calls.\n\n" if one.without_calls else ""
    rows = [[name, *(figure(each) for each in settings.values())] for name, figure in ROWS.items()]
    return f"{title}\n\n{left_out}{table(('', *settings), rows)}"


def failures(campaigns: Sequence[Campaign], *, whole: bool) -> list[str]:
    """The bounds that are not kept, by all suites of a setting together."""
    return [
        failure
        for setting, found in by_setting(campaigns).items()
        for failure in broken(setting, together(found), whole=whole)
    ]


def document(campaigns: Sequence[Campaign]) -> list[dict[str, Any]]:
    """Every campaign with its figures and all of its runs."""
    return [
        {
            "suite": campaign.suite,
            "setting": campaign.setting,
            "figures": asdict(Figures.of(campaign)),
            "injection_tasks_without_calls": campaign.pairing.without_calls,
            "runs": [asdict(run) for run in campaign.runs],
        }
        for campaign in campaigns
    ]
