"""Reading `gateway.yaml`: from file, environment and flags to `Settings`, or to one error that tells every mistake."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from gateway.core.errors import ConfigError
from gateway.settings.checks import passed_over, spanning_mistakes
from gateway.settings.containment import containment_mistakes
from gateway.settings.credentials_checks import credentials_mistakes
from gateway.settings.expand import expand_upstreams
from gateway.settings.layers import SERVER_BLOCKS, Layers, Source, environment_layer, flag_layer, variable_of
from gateway.settings.loaded import Settings
from gateway.settings.mistakes import Mistake, spelled, validation_mistakes
from gateway.settings.model import Configuration
from gateway.settings.yaml_source import MAX_BYTES, Document, Mark, Unreadable, parse_document

DEFAULT_PATH = Path("gateway.yaml")
SMALLEST = """mcpServers:
  notes: {command: python, args: [notes.py]}
tools:
  - {match: "notes__*", mode: read_only}"""
_WRITE_ONE = f"Write for example:\n{SMALLEST}"
_ABOUT_SERVERS = (*SERVER_BLOCKS, "upstreams", "tools")
_SEE = "`sealgate config schema` prints every key with its meaning; point your editor's YAML support at it."


def load_settings(path: Path | None = None, *, overrides: Mapping[str, object] = {}) -> Settings:
    """The settings of the file at `path` (None: ./gateway.yaml) with the environment and `overrides` laid over it.

    Keys of `overrides` are those of the file, nested or dotted (`listen.port`); a value of None is a flag not given.

    Raises:
        ConfigError: one or more mistakes. Its message has a line for each, with its place, in the order of the file.
    """
    return _checked(*_layers(path, overrides))


def load_deployment(path: Path | None = None) -> Settings:
    """The settings without servers and tools: where the deployment lies, who may call it. The rest need not be right.

    So no variable that only a server's credentials need has to be set. Raises `ConfigError`.
    """
    path, document, layers, mistakes = _layers(path, {})
    written = {key: value for key, value in layers.values.items() if key not in _ABOUT_SERVERS}
    return replace(_checked(path, document, Layers(written, layers.sources), mistakes), layers=layers)


def _layers(path: Path | None, overrides: Mapping[str, object]) -> tuple[Path, Document, Layers, list[Mistake]]:
    path = DEFAULT_PATH if path is None else path
    document = _read(path)
    written = document.root.plain()
    if not isinstance(written, dict):
        mark = document.root.mark
        text = f"{path}:{mark.line}:{mark.column}: the file is not a block of keys."
        raise ConfigError(text, hint=_WRITE_ONE)
    written.pop("$schema", None)  # JSON files name their schema so

    layers = Layers()
    layers.put(written, Source.FILE)
    from_environment, mistakes = environment_layer(written)
    layers.put(from_environment, Source.ENV)
    layers.put(flag_layer(overrides), Source.FLAG)
    return path, document, layers, mistakes


def _checked(path: Path, document: Document, layers: Layers, environment_mistakes: list[Mistake]) -> Settings:
    telling = _Telling(path, document, layers)
    lines = [telling.at(Source.ENV, mistake) for mistake in environment_mistakes]
    lines += [
        _Line(0, fault.mark, f"{path}:{fault.mark.line}:{fault.mark.column}: {fault.text}") for fault in document.faults
    ]
    values, mistakes = expand_upstreams(layers.values, os.environ)
    mistakes += spanning_mistakes(values)
    mistakes += credentials_mistakes(values, os.environ)
    mistakes += containment_mistakes(values, path.absolute().parent, path.name)
    configuration = None
    try:
        configuration = Configuration.model_validate(values)
    except ValidationError as error:
        told = {mistake.loc for mistake in mistakes}
        mistakes += [mistake for mistake in validation_mistakes(error) if mistake.loc not in told]
    lines += [telling.at(layers.source(mistake.loc), mistake) for mistake in mistakes]
    if configuration is None or lines:
        raise ConfigError("\n".join(line.text for line in sorted(set(lines))), hint=_SEE)
    warnings = sorted(telling.at(layers.source(notice.loc), notice) for notice in passed_over(layers.values))
    return Settings(path, configuration, layers, tuple(line.text for line in warnings))


class _Line(NamedTuple):
    """A line of the message; lines sort by source, then by place."""

    rank: int
    mark: Mark
    text: str


class _Telling(NamedTuple):
    """Turns a mistake into a line that begins with its place."""

    path: Path
    document: Document
    layers: Layers

    def at(self, source: Source, mistake: Mistake) -> _Line:
        told = f"{spelled(mistake.loc, hide_names=True)}: {mistake.text}"
        match source:
            case Source.FLAG:
                return _Line(2, Mark(0, 0), f"flag: {told}")
            case Source.ENV:
                return _Line(1, Mark(0, 0), f"environment, {variable_of(mistake.loc)}: {told}")
            case _:
                mark = self.document.mark(mistake.loc, at_key=mistake.at_key)
                return _Line(0, mark, f"{self.path}:{mark.line}:{mark.column}: {told}")


def _read(path: Path) -> Document:
    try:
        if not path.exists():
            raise ConfigError(f"{path}: there is no such file.", hint=f"{_WRITE_ONE}\n{_SEE}")
        if not path.is_file():
            raise ConfigError(f"{path}: this is not a file.", hint="Name the file, for example: gateway.yaml")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: the file cannot be read: {error}.", hint="Check who may read it.") from error
    try:
        document = parse_document(data, tabs=path.suffix == ".json")
    except Unreadable as error:
        mark, text = error.fault
        raise ConfigError(f"{path}:{mark.line}:{mark.column}: {text}", hint=_SEE) from error
    if document is None:
        raise ConfigError(f"{path}: the file is empty.", hint=f"{_WRITE_ONE}\n{_SEE}")
    return document
