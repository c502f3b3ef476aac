"""Single changes to what policy saw, or to its data, that may change a decision. Each is tried, none is guessed to work.

They are general: of this gateway's input document, and of whatever stands in the policy's data. A value that is tried for an
argument comes from that data, since that is where policies keep what they allow.
"""

import copy
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.core.capability import ApprovalMode
from gateway.core.circumstances import Origin

ROLES = ("agent", "approver", "auditor", "admin")
MAX_CANDIDATES = 24
MAX_LEAVES = 24
MANY = 1_000_000
HOURS = 7 * 24
EFFECTS = ("allow", "ask", "deny")


@dataclass(frozen=True, slots=True)
class Probe:
    """One change: `what` completes the sentence "it would be …, if". One of `input` and `data` is changed, the other None.

    Of the probes of one `group` the first that works is enough.
    """

    what: str
    input: dict[str, Any] | None = None
    data: dict[str, Any] | None = None
    group: str | None = None


def probes(seen: dict[str, Any], data: dict[str, Any]) -> Iterator[Probe]:
    """All of them: what the caller can do first, what the operator can do last."""
    yield from _of_the_caller(seen, data)
    yield from _of_the_run(seen)
    yield from _of_the_arguments(seen, data)
    yield from _of_the_time(seen)
    yield from _of_the_data(seen, data)


def _of_the_caller(seen: dict[str, Any], data: dict[str, Any]) -> Iterator[Probe]:
    properties = seen["subject"]["properties"]
    for role in dict.fromkeys((*ROLES, *_strings_below(data, "role"))):
        if role not in properties["roles"]:
            yield _with(seen, f"the caller had the role {role}", "subject.properties.roles", [*properties["roles"], role])
    delegation = {
        "subject": seen["subject"]["id"],
        "scopes": [seen["resource"]["id"]],
        "expires_at": _later(seen["context"]["time"], timedelta(hours=1)),
    }
    what = f"{seen['subject']['id']} had delegated {seen['resource']['id']}"
    yield _with(seen, what, "subject.properties.delegation", delegation)
    if properties["delegation"] is not None:
        yield _with(seen, "there were no delegation", "subject.properties.delegation", None)
    for role in properties["roles"]:
        rest = [other for other in properties["roles"] if other != role]
        yield _with(seen, f"the caller had not the role {role}", "subject.properties.roles", rest)
    key = seen["context"]["idempotency"]
    if not key["key"] or key["derived"]:
        given = {"key": True, "derived": False}
        yield _with(seen, "the call came with an idempotency key of the caller's", "context.idempotency", given)
    if key["key"]:
        yield _with(seen, "the call had no idempotency key", "context.idempotency", {"key": False, "derived": False})


def _of_the_run(seen: dict[str, Any]) -> Iterator[Probe]:
    context, tool = seen["context"], seen["resource"]["id"]
    run = context["run"]
    modes = [mode.value for mode in ApprovalMode]
    now = modes.index(run["mode_ceiling"])
    for group, others in (("higher", modes[now + 1 :]), ("lower", modes[:now][::-1])):
        for mode in others:
            yield _with(seen, f"the run's ceiling were {mode}", "context.run.mode_ceiling", mode, group=f"{group} ceiling")
    if run["id"] is None:
        yield _with(seen, "the call belonged to a run", "context.run.id", "run")
    for name, what in (("calls", "calls"), ("effects", "effects")):
        if run.get(name):
            yield _with(seen, f"it were the first of the run's {what}", f"context.run.{name}", 0)
        yield _with(seen, f"the run had had {MANY:,} {what} before", f"context.run.{name}", MANY)
    if context["recent_calls"]:
        yield _with(seen, "there were no other calls in the last minute", "context.recent_calls", 0)
    yield _with(seen, f"there were {MANY:,} other calls in the last minute", "context.recent_calls", MANY)
    provenance = context.get("provenance")
    if provenance is not None:
        if provenance["tainted"]:
            yield _with(seen, "the run had read nothing untrusted", "context.provenance.tainted", False)
        else:
            yield _with(seen, "the run had read something untrusted", "context.provenance.tainted", True)
        if not provenance["complete"]:
            yield _with(seen, "the origin of every argument were known", "context.provenance.complete", True)
        yield from _of_the_leaves(seen, provenance["leaves"])
    if context.get("intent") is not None:
        yield _with(seen, "the run had no intent registered", "context.intent", None)
    for tools in (None, [tool]):
        named = f" and named {tool}" if tools else ""
        intent = {"tools": tools, "fulfilled": True}
        if context.get("intent") != intent:
            yield _with(seen, f"the run's intent were registered{named}", "context.intent", intent, group="intent")
    for cited in (["untrusted"], ["trusted"], ["trusted", "trusted"]):
        if context.get("cited") != cited:
            what = f"the call cited {len(cited)} {cited[0]} result{'s' if len(cited) > 1 else ''}"
            yield _with(seen, what, "context.cited", cited, group="cited")


def _of_the_leaves(seen: dict[str, Any], leaves: list[dict[str, Any]]) -> Iterator[Probe]:
    def told(chosen: Iterable[int]) -> list[dict[str, Any]]:
        among = set(chosen)
        return [
            {**leaf, "origins": sorted({*leaf["origins"], Origin.INTENT})} if index in among else leaf
            for index, leaf in enumerate(leaves)
        ]

    path = "context.provenance.leaves"
    for index, leaf in enumerate(leaves[:MAX_LEAVES]):
        if Origin.INTENT not in leaf["origins"]:
            yield _with(seen, f"the intent named the value at {leaf['pointer']}", path, told([index]))
    if len(leaves) > 1:
        yield _with(seen, "the intent named every argument's value", path, told(range(len(leaves))))


def _of_the_arguments(seen: dict[str, Any], data: dict[str, Any]) -> Iterator[Probe]:
    """Each declared field, and each argument, set to values that the policy's data holds."""
    strings = list(dict.fromkeys(_strings(data)))[:MAX_CANDIDATES]
    numbers = list(dict.fromkeys((0, *_numbers(data))))[:MAX_CANDIDATES]
    arguments = seen["context"]["arguments"]
    for role, values in seen["context"].get("fields", {}).items():
        kind = numbers if role == "amount" else strings
        for value in kind:
            changed = _with(seen, f"the {role} were {value}", f"context.fields.{role}", [value], group=f"field {role}")
            if changed.input is not None:
                changed.input["context"]["arguments"] = _replaced(arguments, values, value)
            yield changed
    for pointer, leaf in itertools.islice(_leaves(arguments, ()), MAX_LEAVES):
        shown = "/" + "/".join(map(str, pointer))
        for value in strings if isinstance(leaf, str) else numbers if _is_number(leaf) else ():
            if value != leaf:
                path = ("context", "arguments", *pointer)
                yield _with(seen, f"the argument {shown} were {value}", path, value, group=f"argument {shown}")
        if isinstance(leaf, bool):
            yield _with(seen, f"the argument {shown} were {not leaf}", ("context", "arguments", *pointer), not leaf)


def _of_the_time(seen: dict[str, Any]) -> Iterator[Probe]:
    now = seen["context"]["time"]
    for hours in range(1, HOURS):
        moment = _later(now, timedelta(hours=hours))
        day = datetime.fromisoformat(moment).strftime("%A")
        yield _with(seen, f"it were {day}, {moment}", "context.time", moment, group="time")


def _of_the_data(seen: dict[str, Any], data: dict[str, Any]) -> Iterator[Probe]:
    """Each list of the policy's data longer by a name in this call, each number and switch changed."""
    fields = seen["context"].get("fields", {})
    named = dict.fromkeys(
        (
            *seen["resource"]["properties"]["egress"],
            *(value for values in fields.values() for value in values if isinstance(value, str)),
            seen["resource"]["id"],
            f"{seen['subject']['type']}:{seen['subject']['id']}",
        )
    )
    for path, value in _places(data, ()):
        where = "data." + ".".join(map(str, path))
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            for name in named:
                if name not in value:
                    yield _with_data(data, f"{where} held {name}", path, [*value, name])
        elif isinstance(value, bool):
            yield _with_data(data, f"{where} were {str(not value).lower()}", path, not value)
        elif _is_number(value):
            yield _with_data(data, f"{where} were {value * 10 or 1}", path, value * 10 or 1)
        elif value in EFFECTS:
            for other in EFFECTS:
                if other != value:
                    yield _with_data(data, f"{where} were {other}", path, other)


def _with(seen: dict[str, Any], what: str, path: str | tuple[str | int, ...], value: Any, group: str | None = None) -> Probe:
    steps = tuple(path.split(".")) if isinstance(path, str) else path
    return Probe(what, input=_set(seen, steps, value), group=group)


def _with_data(data: dict[str, Any], what: str, path: tuple[str | int, ...], value: Any) -> Probe:
    return Probe(what, data=_set(data, path, value))


def _set(document: dict[str, Any], path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(document)
    part: Any = changed
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = value
    return changed


def _replaced(document: Any, values: list[Any], value: Any) -> Any:
    """`document` with `value` wherever one of `values` stood."""
    if isinstance(document, dict):
        return {key: _replaced(item, values, value) for key, item in document.items()}
    if isinstance(document, list):
        return [_replaced(item, values, value) for item in document]
    return value if not isinstance(document, bool) and document in values else document


def _leaves(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        yield path, value
    else:
        for key, item in items:
            yield from _leaves(item, (*path, key))


def _places(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """What may be changed as a whole: lists of strings, and what is neither object nor list."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _places(item, (*path, key))
    elif isinstance(value, list) and not all(isinstance(item, str) for item in value):
        for index, item in enumerate(value):
            yield from _places(item, (*path, index))
    else:
        yield path, value


def _strings(data: Any) -> Iterator[str]:
    return (leaf for _, leaf in _leaves(data, ()) if isinstance(leaf, str) and leaf not in EFFECTS)


def _strings_below(data: Any, word: str) -> Iterator[str]:
    """Strings at paths that have `word` in them, such as the names of roles, and the keys there."""
    for path, leaf in _leaves(data, ()):
        named = [index for index, step in enumerate(path) if word in str(step)]
        if named:
            yield from (str(step) for step in path[named[0] + 1 :] if isinstance(step, str))
            if isinstance(leaf, str):
                yield leaf


def _numbers(data: Any) -> Iterator[float]:
    return (leaf for _, leaf in _leaves(data, ()) if _is_number(leaf))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _later(moment: str, by: timedelta) -> str:
    then = datetime.fromisoformat(moment).astimezone(UTC) + by
    return f"{then:%Y-%m-%dT%H:%M:%S}.{then.microsecond // 1000:03d}Z"
