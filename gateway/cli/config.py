"""`sealgate config`: what gateway.yaml may say, whether it is right, and what counts in the end."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.render import print_json, print_table, say
from gateway.cli.target import JsonOption
from gateway.settings import Settings, load_settings
from gateway.settings.reference import reference_page
from gateway.settings.schema import json_schema_text

app = typer.Typer(help="gateway.yaml: schema, validate, show.", no_args_is_help=True, rich_markup_mode=None)

FileArgument = Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Default: ./gateway.yaml.", show_default=False)]


@app.command()
def schema(
    markdown: Annotated[bool, typer.Option("--markdown", help="The same as a page for people.")] = False,
) -> None:
    """Print the JSON Schema of gateway.yaml, for your editor."""
    typer.echo(reference_page() if markdown else json_schema_text(), nl=False)


@app.command()
def validate(file: FileArgument = None) -> None:
    """Check gateway.yaml and tell every mistake with its line."""
    settings = _loaded(file)
    servers, rules = len(settings.upstream_specs()), len(settings.configuration.tools)
    typer.echo(f"{settings.path} is valid: {_counted(servers, 'upstream')}, {_counted(rules, 'tool rule')}")


@app.command()
def show(
    file: FileArgument = None,
    effective: Annotated[
        bool, typer.Option("--effective", help="Every value with its source, not only those of the file.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the values of gateway.yaml. Credentials stay hidden."""
    settings = _loaded(file)
    values = {key: entry for key, entry in settings.effective().items() if effective or entry["source"] == "file"}
    if as_json:
        print_json({"file": str(settings.path), "settings": values})
        return
    rows = [[key, _plain(entry["value"]), entry["source"]] for key, entry in values.items()]
    print_table(["key", "value", "source"], rows, empty=f"{settings.path} sets nothing; --effective shows the defaults.")


def _loaded(file: Path | None) -> Settings:
    settings = load_settings(file)
    for warning in settings.warnings:
        say(f"warning: {warning}")
    return settings


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
