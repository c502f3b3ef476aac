"""Secrets that people write into a client's file: which values are some, and `${VAR}` in their place.

A value is taken for a secret by the name it stands under (`GITHUB_TOKEN`, `Authorization`, `--api-key`), or by its own form.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from gateway.core.secret_formats import without_secrets

HIDDEN = "(hidden)"
_SHORTEST = 4  # what is shorter stands everywhere in a text

_SECRET = re.compile(
    r"(token|key|secret|password|passwd|passphrase|credentials?|cookie|dsn|authorization|bearer)$|^(pat|auth)$",
    re.IGNORECASE,
)
_NOT_SECRET = re.compile(r"(file|path|limit|limits|url|id|name|ttl|timeout|type|size|count|dir|scope)$", re.IGNORECASE)
_SCHEME = re.compile(r"((?:bearer|basic|token) +)(?=\S)", re.IGNORECASE)
_FLAG = re.compile(r"(--?[A-Za-z][\w-]*=)(.+)", re.DOTALL)
_QUERY = re.compile(r"([?&][^=&#]+=)([^&#]+)")
_NAMED = re.compile(
    r"""(?P<head>["']?(?P<name>[\w.-]+)["']?[ \t]*[:=][ \t]*)"""
    r"""(?P<quote>["'])(?P<value>(?:(?!(?P=quote))[^\\]|\\.)*)(?P=quote)"""
)


def is_secret(name: str, value: str) -> bool:
    """Whether `value`, under that name, is a secret. A reference to one is none."""
    if not value or "${" in value:
        return False
    words = [word for word in re.split(r"[^A-Za-z0-9]+|(?<=[a-z])(?=[A-Z])", name) if word]
    named = any(_SECRET.search(word) for word in words) and not (words and _NOT_SECRET.fullmatch(words[-1]))
    return named or bool(without_secrets(value)[1])


@dataclass(slots=True)
class Moved:
    """Secrets that left a server's block: each variable with the place in the client's file that holds its value."""

    values: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)

    def reference(self, variable: str, server: str, value: str, place: str) -> str:
        """`${VAR}` for a value. One that another value has already is named after its server."""
        variable = re.sub(r"[^A-Za-z0-9]+", "_", variable).strip("_").upper() or "SECRET"
        names = [variable, re.sub(r"[^A-Za-z0-9]+", "_", f"{server}_{variable}").strip("_").upper()]
        names += [f"{names[1]}_{number}" for number in range(2, 1000)]
        free = (name for name in names if not name[0].isdigit() and self.values.get(name, value) == value)
        chosen = next(free, f"SECRET_{names[1]}")
        self.values[chosen] = value
        self.places.setdefault(chosen, place)
        return f"${{{chosen}}}"


def without_values(name: str, server: dict[str, Any], moved: Moved) -> dict[str, Any]:
    """The server with `${VAR}` in the place of each secret; `moved` takes them down."""
    result = dict(server)
    env, headers, args = server.get("env"), server.get("headers"), server.get("args")
    if isinstance(env, dict):
        result["env"] = {
            key: moved.reference(key, name, value, f"{name}.env.{key}")
            if isinstance(value, str) and is_secret(key, value)
            else value
            for key, value in env.items()
        }
    if isinstance(headers, dict):
        result["headers"] = {key: _header(name, key, value, moved) for key, value in headers.items()}
    if isinstance(args, list):
        result["args"] = list(_arguments(name, args, moved))
    if isinstance(server.get("url"), str):
        result["url"] = _QUERY.sub(lambda match: _query(name, match, moved), server["url"])
    return result


def masked(line: str, secrets: frozenset[str] = frozenset()) -> str:
    """A line of a configuration file as it may be shown: without values that look like secrets, and without these."""
    for secret in sorted((one for one in secrets if len(one) >= _SHORTEST), key=len, reverse=True):
        line = line.replace(secret, HIDDEN)

    def hide(match: re.Match[str]) -> str:
        if not is_secret(match["name"], match["value"]):
            return match[0]
        return f"{match['head']}{match['quote']}{HIDDEN}{match['quote']}"

    return without_secrets(_NAMED.sub(hide, line))[0]


def _header(name: str, key: str, value: Any, moved: Moved) -> Any:
    if not isinstance(value, str) or not is_secret(key, value):
        return value
    scheme = _SCHEME.match(value)
    start = 0 if scheme is None else scheme.end()
    return value[:start] + moved.reference(f"{name}_{key}", name, value[start:], f"{name}.headers.{key}")


def _arguments(name: str, args: list[Any], moved: Moved) -> Iterator[Any]:
    flag = ""
    for number, argument in enumerate(args):
        place = f"{name}.args[{number}]"
        if not isinstance(argument, str):
            yield argument
            continue
        joined = _FLAG.fullmatch(argument)
        if joined is not None and is_secret(joined[1].rstrip("="), joined[2]):
            yield joined[1] + moved.reference(f"{name}_{joined[1]}", name, joined[2], place)
        elif flag and not argument.startswith("-") and is_secret(flag, argument):
            yield moved.reference(f"{name}_{flag}", name, argument, place)
        elif is_secret("", argument):
            yield moved.reference(f"{name}_ARGUMENT", name, argument, place)
        else:
            yield argument
        flag = argument if argument.startswith("-") and joined is None else ""


def _query(name: str, match: re.Match[str], moved: Moved) -> str:
    key = match[1][1:-1]
    if not is_secret(key, match[2]):
        return match[0]
    return match[1] + moved.reference(f"{name}_{key}", name, match[2], f"{name}.url")
