"""Where a value comes from: flags go before the environment, the environment before the file, the file before defaults.

Mappings are merged key by key, lists are replaced as a whole. A variable is called SEALGATE__ and the keys, joined by two
underscores, in any case: SEALGATE__LISTEN__PORT. Lists and whole blocks are written as JSON.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, get_origin

from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict, SettingsError

from gateway.settings.mistakes import Mistake, field_at, model_at, unknown_key
from gateway.settings.model import Configuration
from gateway.settings.scalars import core_value
from gateway.settings.yaml_source import Loc

PREFIX = "SEALGATE__"
SERVER_BLOCKS = ("mcpServers", "functions", "openapi", "agents")
"""The blocks whose keys are names of upstreams."""


class Source(StrEnum):
    """Who set a value, strongest first."""

    FLAG = "flag"
    ENV = "env"
    FILE = "file"
    DEFAULT = "default"


class _Environment(Configuration, BaseSettings):
    """The shape that the environment is read by."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__")


@dataclass(slots=True)
class Layers:
    """The values of all sources, merged but not checked, and the source of each."""

    values: dict[str, Any] = field(default_factory=dict)
    sources: dict[Loc, Source] = field(default_factory=dict)

    def put(self, layer: Mapping[str, Any], source: Source) -> None:
        """Lay `layer` over what is there."""
        self._merge(self.values, layer, (), source)

    def _merge(self, below: dict[str, Any], above: Mapping[str, Any], loc: Loc, source: Source) -> None:
        for key, value in above.items():
            here = (*loc, key)
            if isinstance(value, Mapping) and value and isinstance(below.get(key), dict):
                self._merge(below[key], value, here, source)
            elif isinstance(value, Mapping):
                below[key] = {}
                self.sources[here] = source
                self._merge(below[key], value, here, source)
            else:
                below[key] = value
                self.sources[here] = source

    def source(self, loc: Loc) -> Source:
        """Who set the value at `loc`, or the value around it."""
        for length in range(len(loc), 0, -1):
            found = self.sources.get(loc[:length])
            if found is not None:
                return found
        return Source.FILE

    def at(self, loc: Loc, default: Any = None) -> Any:
        """The value that some source set at `loc`."""
        here: Any = self.values
        for part in loc:
            try:
                here = here[part]
            except (LookupError, TypeError):
                return default
        return here

    def holds(self, loc: Loc) -> bool:
        """Whether any source set a value at `loc`."""
        nothing = object()
        return self.at(loc, nothing) is not nothing


def environment_layer(file: Mapping[str, Any]) -> tuple[dict[str, Any], list[Mistake]]:
    """What the environment sets, and what is wrong in it. Names of servers are matched to those of `file` in any case."""
    mistakes = list(_variable_mistakes())
    if mistakes:
        return {}, mistakes
    try:
        layer = _with_numbers(EnvSettingsSource(_Environment)(), ())
    except SettingsError as error:
        return {}, [Mistake((), f"{error}. Write lists and blocks as JSON.")]
    blocks = [file.get(block) for block in SERVER_BLOCKS]
    known = {name.casefold(): name for servers in blocks if isinstance(servers, dict) for name in servers}
    for block in (*SERVER_BLOCKS, "upstreams"):
        if isinstance(layer.get(block), dict):
            layer[block] = {known.get(name.casefold(), name): value for name, value in layer[block].items()}
    return layer, []


def _with_numbers(value: Any, loc: Loc) -> Any:
    """`value` with text made a number where a number belongs: variables hold text only."""
    if isinstance(value, dict):
        return {key: _with_numbers(item, (*loc, key)) for key, item in value.items()}
    field = field_at(loc) if isinstance(value, str) else None
    if field is not None and field.annotation in (int, float):
        try:
            return core_value(value)
        except ValueError:
            return value
    return value


def _variable_mistakes() -> Iterator[Mistake]:
    """What pydantic-settings would pass over or tell without the variable's name."""
    fields = {name.casefold(): name for name in Configuration.model_fields}
    for variable in sorted(os.environ):
        keys = _keys(variable)
        if not keys:
            continue
        loc = (fields.get(keys[0], keys[0]), *keys[1:])
        if keys[0] not in fields:
            yield Mistake(loc, unknown_key(keys[0], list(Configuration.model_fields)))
        elif loc[0] in SERVER_BLOCKS and loc[2:3] in (("env",), ("query",)) and len(loc) > 3:
            yield Mistake(
                loc, f"the case of its name is lost here. Write JSON into the variable that ends in __{keys[2].upper()}."
            )
        elif _takes_json(loc):
            try:
                json.loads(os.environ[variable])
            except (ValueError, RecursionError) as error:
                yield Mistake(loc, f"is not JSON: {error}. Write a list or block as JSON.")


def _takes_json(loc: Loc) -> bool:
    field = field_at(loc)
    return model_at(loc) is not None or (field is not None and get_origin(field.annotation) in (tuple, dict))


def variable_of(loc: Loc) -> str:
    """The environment variable that sets the value at `loc`, or the block around it."""
    path = [str(part).casefold() for part in loc]
    setting = [name for name in os.environ if (keys := _keys(name)) and path[: len(keys)] == keys]
    return max(setting, key=len, default=PREFIX + "__".join(path).upper())


def _keys(variable: str) -> list[str]:
    return variable[len(PREFIX) :].casefold().split("__") if variable.upper().startswith(PREFIX) else []


def flag_layer(overrides: Mapping[str, object]) -> dict[str, Any]:
    """Overrides as one mapping. A key may be dotted (`listen.port`); None is a flag that was not given."""
    layer: dict[str, Any] = {}
    for key, value in overrides.items():
        if value is None:
            continue
        *blocks, last = key.split(".")
        here = layer
        for block in blocks:
            here = here.setdefault(block, {})
        here[last] = flag_layer(value) if isinstance(value, Mapping) else value
    return layer
