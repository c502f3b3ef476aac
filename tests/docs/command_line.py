"""docs/reference/command-line.md, generated from the typer app.

Write it anew: python -m tests.docs.command_line > docs/reference/command-line.md
"""

import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, get_args

import typer.main

from gateway.cli import app

HEAD = """\
# Command line

This page is generated from the commands themselves; `sealgate COMMAND --help` says the same.

Data goes to standard output, talk to standard error. `--json` prints JSON for programs.

Commands with `--state` are about a state folder: that of the option, of the variable `SEALGATE_STATE`, of `gateway.yaml` in
the current folder, or `./.sealgate`, in this order. They ask the gateway that runs on it. `log` also reads the files of a
folder on which none runs. With `--url` they ask a gateway elsewhere, with a token:
[how](api.md#with-the-command-line).

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | it failed; the message says why and what to do next |
| 2 | wrong usage, or a mistake in the configuration, a policy or a lock file |
| 3 | the gateway wants a token, or another one |
| 4 | no gateway answers |
| 6 | verification failed |
"""

WORDS = {str: "TEXT", int: "INTEGER", float: "NUMBER", Path: "PATH"}

Command = Any
"""A click command; typer carries its own copy of click, without types to import."""


def root() -> Command:
    """The whole tree of commands."""
    return typer.main.get_command(app)


def commands(command: Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Command]]:
    """Every command that does something, with its words after `sealgate`, in order of appearance."""
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name, below in command.commands.items():
        yield from commands(below, (*path, name))


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for path, command in commands(root()):
        parts.append(f"\n## sealgate {' '.join(path)}\n\n{command.help.strip()}\n\n```text\n{_usage(path, command)}\n```\n")
        rows = [_row(parameter) for parameter in command.params if parameter.help]
        if rows:
            parts.append("\n| | |\n|---|---|\n" + "".join(f"| {left} | {right} |\n" for left, right in rows))
    return "".join(parts)


def _usage(path: tuple[str, ...], command: Command) -> str:
    words = ["sealgate", *path]
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    if any(option.name != "help" for option in options):
        words.append("[OPTIONS]")
    words += [_placeholder(parameter) for parameter in command.params if parameter.param_type_name == "argument"]
    return " ".join(words)


def _placeholder(argument: Command) -> str:
    name = (argument.metavar or argument.name.upper()).strip("[]{}").upper()
    name = f"{name}..." if argument.nargs == -1 else name
    return name if argument.required else f"[{name}]"


def _row(parameter: Command) -> tuple[str, str]:
    told = (parameter.help or "").strip()
    if parameter.param_type_name == "argument":
        return f"`{_placeholder(parameter)}`", told
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    takes = "" if parameter.is_flag else f" {_taken(parameter)}"
    extra = [
        "Required." if parameter.required else "",
        f"Variable: `{parameter.envvar}`." if parameter.envvar else "",
        f"Default: {parameter.default}." if _worth_telling(parameter) else "",
    ]
    return f"{names}{takes}", " ".join(part for part in (told, *extra) if part)


def _taken(option: Command) -> str:
    if option.metavar:
        return f"`{option.metavar}`".replace("|", "\\|")
    kind = option.type_descriptor.annotation
    kind = get_args(kind)[0] if get_args(kind) else kind
    if issubclass(kind, Enum):
        return ", ".join(f"`{choice.value}`" for choice in kind)
    return f"`{WORDS[kind]}`"


def _worth_telling(option: Command) -> bool:
    default = option.default
    return not option.is_flag and not option.required and isinstance(default, int | float | str) and default != ""


if __name__ == "__main__":
    sys.stdout.write(page())
