"""One AgentDojo suite as a world: its environment, its tools, its tasks and its own checks. Needs agentdojo.

The world is told which task begins; from then on it executes what it is called with, and remembers that. The checks judge
what was executed and nothing else.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentdojo.base_tasks import BaseInjectionTask, BaseUserTask
from agentdojo.functions_runtime import FunctionCall, FunctionsRuntime, TaskEnvironment
from agentdojo.task_suite import get_suite
from pydantic_core import to_json, to_jsonable_python

VERSION = "v1.2.2"


@dataclass
class Episode:
    """One run of one user task, attacked or not."""

    user_task: BaseUserTask
    injection_task: BaseInjectionTask | None
    before: TaskEnvironment
    now: TaskEnvironment
    executed: list[FunctionCall] = field(default_factory=list)
    took_effect: bool = False
    """The attack's check passed at some time. A user's later call may undo it; it happened all the same."""


class World:
    """See the module. Not for several threads at once."""

    def __init__(self, suite: str) -> None:
        self._suite = get_suite(VERSION, suite)
        self._runtime = FunctionsRuntime(self._suite.tools)
        self._pristine: dict[tuple[str | None, str], TaskEnvironment] = {}
        self._episode: Episode | None = None

    def tools(self) -> list[dict[str, Any]]:
        """The suite's tools as MCP lists them."""
        return [
            {"name": tool.name, "description": tool.description, "inputSchema": tool.parameters.model_json_schema()}
            for tool in self._suite.tools
        ]

    def tasks(self) -> dict[str, Any]:
        """The ids of all tasks, and of the injection tasks that ship no calls."""
        world = self._suite.load_and_inject_default_environment({})
        without = [name for name, task in self._suite.injection_tasks.items() if not task.ground_truth(world)]
        return {
            "user_tasks": list(self._suite.user_tasks),
            "injection_tasks": [name for name in self._suite.injection_tasks if name not in without],
            "injection_tasks_without_calls": without,
        }

    def begin(self, user_task: str, injection_task: str | None, marker: str) -> dict[str, Any]:
        """A fresh world for this task, with the attack's text behind `marker` in every place that the suite names for it.

        Returns the user's prompt, the calls that do the task, the calls of the attack, and what the agent then says.
        """
        user = self._suite.user_tasks[user_task]
        injected = None if injection_task is None else self._suite.injection_tasks[injection_task]
        world = user.init_environment(self._planted(injection_task, marker).model_copy(deep=True))
        self._episode = Episode(user, injected, world.model_copy(deep=True), world)
        return {
            "prompt": user.PROMPT,
            "user_calls": _documents(user.ground_truth(world)),
            "attack_calls": [] if injected is None else _documents(injected.ground_truth(world)),
            "answer": user.GROUND_TRUTH_OUTPUT,
        }

    def call(self, tool: str, arguments: dict[str, Any]) -> tuple[str, bool]:
        """Execute one call. Its result as text, and whether that is an error."""
        episode = self._current()
        episode.executed.append(FunctionCall(function=tool, args=arguments))
        result, error = self._runtime.run_function(episode.now, tool, arguments)
        episode.took_effect = episode.took_effect or _security(episode, "")
        if error is not None:
            return error, True
        return result if isinstance(result, str) else to_json(result).decode(), False

    def score(self, answer: str) -> dict[str, Any]:
        """What the suite's own checks say of the current episode, and what was executed in it."""
        episode = self._current()
        return {
            "utility": _utility(episode, answer),
            "attacked": episode.took_effect or _security(episode, answer),
            "executed": _documents(episode.executed),
        }

    def change(self, change: Callable[[Any], Any]) -> None:
        """Begin an episode without an attack in a world that `change` made of the suite's default data."""
        data = to_jsonable_python(self._planted(None, ""))
        world = self._suite.environment_type.model_validate(change(data))
        task = next(iter(self._suite.user_tasks.values()))
        self._episode = Episode(task, None, world.model_copy(deep=True), world)

    def state(self) -> Any:
        """All data of the world as it is now."""
        return to_jsonable_python(self._current().now)

    def _planted(self, injection_task: str | None, marker: str) -> TaskEnvironment:
        """Parsing the suite's YAML takes a fifth of a second, so each is parsed once."""
        known = self._pristine.get((injection_task, marker))
        if known is None:
            known = self._suite.load_and_inject_default_environment(self._injections(injection_task, marker))
            self._pristine[injection_task, marker] = known
        return known

    def _injections(self, injection_task: str | None, marker: str) -> dict[str, str]:
        """One word a line: some checks search the world for a text of the attack, and must not find the attack's own."""
        if injection_task is None:
            return {}
        goal = self._suite.injection_tasks[injection_task].GOAL
        text = json.dumps("\n".join([marker, *goal.split()]))[1:-1]  # the suite puts it between double quotes, in YAML
        return {name: f"{usual} {text}" for name, usual in self._suite.get_injection_vector_defaults().items()}

    def _current(self) -> Episode:
        if self._episode is None:
            raise RuntimeError("no task has begun")
        return self._episode


def _utility(episode: Episode, answer: str) -> bool:
    seen = (answer, episode.before, episode.now)
    told = episode.user_task.utility_from_traces(*seen, episode.executed)
    return bool(episode.user_task.utility(*seen) if told is None else told)


def _security(episode: Episode, answer: str) -> bool:
    if episode.injection_task is None:
        return False
    seen = (answer, episode.before, episode.now)
    told = episode.injection_task.security_from_traces(*seen, episode.executed)
    return bool(episode.injection_task.security(*seen) if told is None else told)


def _documents(calls: Sequence[FunctionCall]) -> list[dict[str, Any]]:
    return [{"tool": call.function, "arguments": dict(call.args)} for call in calls]
