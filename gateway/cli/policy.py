"""`sealgate policy`: check, test and try policies without a gateway."""

import asyncio
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import orjson
import typer

from gateway.adapters.policy.bundle import PolicyBundle, default_policies, load_bundle
from gateway.adapters.policy.embedded import start_checked
from gateway.adapters.policy.process import Fault
from gateway.adapters.policy.testing import run_tests
from gateway.core.errors import ConfigError, GatewayError

DECISION_SECONDS = 5.0

app = typer.Typer(name="policy", help="Check, test and try policies.", no_args_is_help=True)

Folder = Annotated[
    Path | None,
    typer.Argument(
        metavar="[PATH]", help="The folder with *.rego files.", show_default="the policies that come with Sealgate"
    ),
]


@app.command()
def check(path: Folder = None) -> None:
    """Load the policies and let them decide a call of every approval mode. Quiet when they are right."""

    async def run() -> None:
        await (await start_checked(_bundle(path), DECISION_SECONDS)).stop()

    asyncio.run(run())


@app.command("test")
def run_all(path: Folder = None) -> None:
    """Run the *_test.rego files. Exit code 1 when a test fails."""
    results = asyncio.run(run_tests(path or default_policies()))
    for result in results:
        if not result.passed:
            typer.echo(f"FAIL {result.package}.{result.rule}: {result.error or 'not true'}")
    count = Counter(result.passed for result in results)
    typer.echo(f"{count[True]} passed, {count[False]} failed")
    if count[False]:
        raise typer.Exit(1)


@app.command("eval")
def evaluate(
    source: Annotated[
        str, typer.Option("--input", metavar="FILE|-", help="The input document (JSON); - reads standard input.")
    ],
    path: Folder = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON (the default).")] = True,
) -> None:
    """Print the decision document for one input document."""
    document = _input(source)

    async def run() -> bytes | Fault:
        process = await start_checked(_bundle(path), DECISION_SECONDS)
        try:
            return await process.ask(b"D", document, asyncio.get_running_loop().time() + DECISION_SECONDS)
        finally:
            await process.stop()

    answer = asyncio.run(run())
    if isinstance(answer, Fault):
        raise GatewayError(
            f"there is no decision: {answer.where()}",
            code="policy.error",
            hint="Correct the policy; a gateway denies this call.",
        )
    typer.echo(orjson.dumps(orjson.loads(answer), option=orjson.OPT_INDENT_2).decode())


def _bundle(path: Path | None) -> PolicyBundle:
    return load_bundle(path or default_policies())


def _input(source: str) -> bytes:
    try:
        text = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        return orjson.dumps(orjson.loads(text))
    except OSError as error:
        raise ConfigError(f"{source}: cannot be read: {error.strerror}", hint="Name a readable JSON file, or -.") from error
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"{source}:{error.lineno}: not JSON: {error.msg}", hint="Correct it at that line.") from error
