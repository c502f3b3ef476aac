"""`sealgate policy`: check, test, try and build policies without a gateway; see and change which are in force in one."""

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from gateway.adapters.policy.bundle import PolicyBundle, default_policies, load_bundle
from gateway.adapters.policy.embedded import start_checked
from gateway.adapters.policy.kept import KeptPolicies
from gateway.adapters.policy.manifest import MAX_REVISION_CHARS, Manifest
from gateway.adapters.policy.process import Fault
from gateway.adapters.policy.signature import load_verification_key
from gateway.adapters.policy.testing import run_tests
from gateway.cli.policy_explain import explain_decision
from gateway.cli.render import one_line, print_json, print_table, say
from gateway.cli.target import Here, JsonOption, Target, targeted
from gateway.core.errors import ConfigError, GatewayError

DECISION_SECONDS = 5.0

app = typer.Typer(name="policy", help="Check, test, try and build policies; which are in force.", no_args_is_help=True)

Folder = Annotated[
    Path | None,
    typer.Argument(
        metavar="[PATH]",
        help="The folder with *.rego files, or a bundle.",
        show_default="the policies that come with Sealgate",
    ),
]


@app.command()
def check(
    path: Folder = None,
    key: Annotated[
        Path | None, typer.Option("--verification-key", help="PEM file of the key that must have signed the bundle.")
    ] = None,
) -> None:
    """Load the policies and let them decide a call of every approval mode. Quiet when they are right."""
    bundle = load_bundle(path or default_policies(), None if key is None else load_verification_key(key))
    asyncio.run(_check(bundle))


@app.command()
def build(
    out: Annotated[Path, typer.Option("--out", help="The bundle file to write, such as policies.tar.gz.")],
    path: Folder = None,
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="PRIVATE_PEM", help="Sign with this key: ECDSA (P-256, P-384, P-521) or RSA."),
    ] = None,
    revision: Annotated[str, typer.Option("--revision", help="What you call it; goes into the manifest.")] = "",
) -> None:
    """Make an OPA bundle of policies that can decide. Prints the digest that entries will name."""
    bundle = load_bundle(path or default_policies())
    if len(revision) > MAX_REVISION_CHARS or not revision.isprintable():
        raise ConfigError(f"--revision is one line of at most {MAX_REVISION_CHARS} characters")
    packed = bundle.packed(Manifest(revision, bundle.manifest.roots), key)
    asyncio.run(_check(bundle))
    fresh = out.with_name(out.name + ".new")
    try:
        fresh.write_bytes(packed)
        fresh.replace(out)  # a gateway that watches it sees the old one or the new one
    except OSError as error:
        raise ConfigError(f"{out}: cannot be written: {error.strerror}", hint="Name a place you may write to.") from error
    typer.echo(bundle.revision)


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


@app.command("list")
@targeted
def history(*, target: Target, json: JsonOption = False) -> None:
    """Which policies were in force when, the newest first; those that are kept can be rolled back to."""
    if isinstance(target, Here) and not target.running():
        document = KeptPolicies(target.state.policies).history().document()
    else:
        with target.client() as client:
            document = client.get("/api/v1/policy/history")
    if json:
        print_json(document)
        return
    kept = set(document["kept"])
    rows = [
        [term["since"], term["revision"], one_line(term["name"]), term["how"], "yes" if term["revision"] in kept else "no"]
        for term in reversed(document["terms"])
    ]
    print_table(["in force since", "revision", "name", "by", "kept"], rows, empty="No policies were in force yet.")
    for line in rollback_lines(document["rolled_back"]):
        say(line)


@app.command()
@targeted
def reload(*, target: Target) -> None:
    """Let the configured policies decide from now on, as they are; ends a roll-back. Prints their digest."""
    with target.client() as client:
        typer.echo(client.post("/api/v1/policy/reload", {})["revision"])


@app.command()
@targeted
def rollback(
    revision: Annotated[
        str | None,
        typer.Argument(help="Digest, its beginning, or name. Default: those before the ones in force.", show_default=False),
    ] = None,
    *,
    target: Target,
) -> None:
    """Let kept policies decide from now on, until the configured ones change or are reloaded. Prints their digest."""
    with target.client() as client:
        document = client.post("/api/v1/policy/rollback", {"revision": revision})
    typer.echo(document["revision"])
    for line in rollback_lines(document["rolled_back"]):
        say(line)


@app.command()
@targeted
def shadow(*, target: Target, json: JsonOption = False) -> None:
    """What the candidate policies (policy.shadow) decide differently, oldest first. Nothing of it is enforced."""
    with target.client() as client:
        document = client.get("/api/v1/policy/shadow")
    if json:
        print_json(document)
        return
    say(one_line(shadow_line(document)))
    rows = [
        [
            one["how"],
            one["capability_id"],
            f"{one['effect']}: {', '.join(one['reasons'])}",
            f"{one['candidate_effect']}: {', '.join(one['candidate_reasons'])}",
            one["envelope_id"],
        ]
        for one in document["differences"]
    ]
    print_table(["how", "tool", "in force", "candidate", "envelope"], rows, empty="No call was decided differently.")


app.command("explain")(explain_decision)


def rollback_lines(rolled_back: dict[str, Any] | None) -> Iterator[str]:
    """What a person must know while a roll-back is in force."""
    if rolled_back is not None:
        yield f"rolled back at {rolled_back['at']}: the configured policies {rolled_back['over']} do not decide"
        yield "  until they change, or: sealgate policy reload"


def shadow_line(shadow: dict[str, Any]) -> str:
    """The candidate and its counts."""
    counts = ", ".join(f"{count} {name}" for name, count in shadow["counts"].items())
    trouble = f"; {shadow['trouble']}" if shadow["trouble"] else ""
    return f"candidate {shadow['revision'] or 'not loaded'}: {counts}{trouble}"


def _bundle(path: Path | None) -> PolicyBundle:
    return load_bundle(path or default_policies())


async def _check(bundle: PolicyBundle) -> None:
    await (await start_checked(bundle, DECISION_SECONDS)).stop()


def _input(source: str) -> bytes:
    try:
        text = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        return orjson.dumps(orjson.loads(text))
    except OSError as error:
        raise ConfigError(f"{source}: cannot be read: {error.strerror}", hint="Name a readable JSON file, or -.") from error
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"{source}:{error.lineno}: not JSON: {error.msg}", hint="Correct it at that line.") from error
