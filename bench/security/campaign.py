"""Runs a suite's tasks, alone and attacked, through one gateway in one setting."""

import itertools
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from bench.processes import REPOSITORY
from bench.security.agent import Agent, Client, Person
from bench.security.calls import Call, Run, Task, beyond
from bench.security.children import LineProcess
from bench.security.deployment import Deployment, Rules, Setting

SEED = 20261130
ANSWER_SECONDS = 60.0
SUITE_PYTHON = REPOSITORY / ".cache" / "security" / "venv" / "bin" / "python"
MARKER = "notice8046"
"""Stands before the attack's text in the world; the agent turns when it reads it."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """What is run: each user task alone, and with each attack that ships calls."""

    user_tasks: tuple[str, ...]
    injection_tasks: tuple[str, ...]
    without_calls: tuple[str, ...]

    @classmethod
    def of(cls, told: dict[str, Any], limit: int | None) -> "Pairing":
        """All tasks, or a sample of `limit` user tasks with every attack. The seed is fixed."""
        users = told["user_tasks"]
        if limit is not None and limit < len(users):
            users = random.Random(SEED).sample(users, limit)
        return cls(tuple(users), tuple(told["injection_tasks"]), tuple(told["injection_tasks_without_calls"]))

    def __iter__(self) -> Iterator[tuple[str, str | None]]:
        return itertools.product(self.user_tasks, (None, *self.injection_tasks))

    def __len__(self) -> int:
        return len(self.user_tasks) * (1 + len(self.injection_tasks))


@dataclass(frozen=True, slots=True)
class Campaign:
    """One suite in one setting, done. `log` is what `sealgate log verify` said of the log it left."""

    suite: str
    setting: Setting
    pairing: Pairing
    rules: Rules
    runs: tuple[Run, ...]
    seconds: float
    log: str


def suite_process(suite: str, folder: Path) -> LineProcess:
    """The suite's server, in the environment of its own."""
    command = [str(SUITE_PYTHON), "-m", "bench.security.suite_server", suite]
    return LineProcess(command, REPOSITORY, folder / f"{suite}-server.log")


def run_campaign(folder: Path, suite: str, setting: Setting, limit: int | None) -> Campaign:
    """See the module. Raises `RuntimeError` where a process fails or the gateway answers what it should not."""
    began = time.monotonic()
    folder.mkdir(parents=True)
    with suite_process(suite, folder) as world:
        port = world.line()["port"]
        pairing = Pairing.of(world.ask("tasks"), limit)
        rules = Rules.of(suite, world.ask("tools"))
        with Deployment(folder / "gateway", suite, setting, upstream=port, callers=len(pairing)) as gateway:
            with (
                LineProcess(_oracle_command(gateway), REPOSITORY, folder / "oracle.log") as oracle,
                httpx2.Client(timeout=ANSWER_SECONDS) as http,
            ):
                runs = tuple(_runs(suite, setting, pairing, world, gateway, oracle, http))
            log = gateway.verify_log()
    return Campaign(suite, setting, pairing, rules, runs, time.monotonic() - began, log)


def _oracle_command(gateway: Deployment) -> Sequence[str]:
    files = (gateway.state, gateway.approver_key, gateway.approver_passphrase)
    return [sys.executable, "-m", "bench.security.oracle", *map(str, files)]


def _runs(
    suite: str,
    setting: Setting,
    pairing: Pairing,
    world: LineProcess,
    gateway: Deployment,
    oracle: LineProcess,
    http: httpx2.Client,
) -> Iterator[Run]:
    def capability(tool: str) -> str:
        return f"{suite}__{tool}"

    def person(approval_id: str) -> None:
        oracle.ask("answer", approval_id=approval_id)

    answers: Person | None = person if setting in (Setting.ORACLE, Setting.INTENT) else None
    for (user_task, injection_task), token in zip(pairing, gateway.tokens, strict=True):
        began = time.monotonic()
        told = world.ask("begin", user_task=user_task, injection_task=injection_task, marker=MARKER)
        task = Task(told["prompt"], Call.read(told["user_calls"]), Call.read(told["attack_calls"]), told["answer"])
        wanted = [{"tool": capability(call.tool), "arguments": call.arguments} for call in task.user_calls]
        oracle.ask("task", calls=wanted)
        meta: dict[str, Any] = {"dev.sealgate/run": {"run_id": f"{user_task}/{injection_task or 'alone'}"}}
        if setting is Setting.INTENT:
            meta["dev.sealgate/intent"] = {"task": task.prompt}
        course = Agent(Client(http, gateway.port, token, meta), capability, answers).run(task, MARKER)
        score = world.ask("score", answer=course.answer)
        executed = Call.read(score["executed"])
        told_to_run = [attempt.call for attempt in course.attempts if attempt.ran]
        if beyond(executed, told_to_run) or beyond(told_to_run, executed):
            raise RuntimeError(
                f"{user_task}, {injection_task}: the gateway says that other calls ran than the world executed"
            )
        yield Run(
            user_task,
            injection_task,
            score["utility"],
            None if injection_task is None else score["attacked"],
            course.attempts,
            executed,
            task.user_calls,
            course.met_attack,
            time.monotonic() - began,
        )
