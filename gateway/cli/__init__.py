"""The command line: one thin file per noun. Parse, call, print; data on stdout, talk on stderr.

Exit codes: 0 ok, 1 error, 2 usage or configuration, 3 needs login, 4 unreachable, 6 verification failed.
"""

import sys

import typer

from gateway import __version__
from gateway.cli import approvals, config, connect, daemon, doctor, importing, keys, log, policy, runs, state, tools, witness
from gateway.cli.render import say, visible
from gateway.core.errors import GatewayError

app = typer.Typer(
    name="sealgate",
    help="A tool gateway for agents: every call decided by policy, approved where it must be, done once, recorded.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("up")(daemon.up)
app.command("serve")(daemon.serve)
app.command("status")(daemon.status)
app.command("connect")(connect.connect)
app.command("import")(importing.import_servers)
app.command("doctor")(doctor.doctor)
for noun, commands in (
    ("tools", tools.app),
    ("approvals", approvals.app),
    ("log", log.app),
    ("policy", policy.app),
    ("runs", runs.app),
    ("keys", keys.app),
    ("config", config.app),
    ("state", state.app),
    ("witness", witness.app),
):
    app.add_typer(commands, name=noun)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """The `sealgate` command."""
    try:
        app(prog_name="sealgate")
    except GatewayError as error:
        say(visible(f"error[{error.code}]: {error.message}"))
        if error.hint:
            say(visible(f"  next: {error.hint}"))
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(1)
