"""`sealgate keys`: a deployment's keys and approvers' keys."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.adapters.keys import load_trusted_keys, make_approver_key, make_keys, read_private_text
from gateway.cli.render import print_json, say
from gateway.cli.target import StateOption, state_folder
from gateway.core.errors import ConfigError
from gateway.core.run_context import PrincipalKind
from gateway.edge.auth import token_digest
from gateway.settings import load_settings

app = typer.Typer(help="Keys of the gateway and of approvers.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def new(
    config: Annotated[Path | None, typer.Option("--config", "-c", help="gateway.yaml.")] = None,
) -> None:
    """Make the keys that `sealgate serve` needs, in the state folder of the configuration."""
    settings = load_settings(config)
    folder = state_folder(settings.state_dir)
    folder.create()
    make_keys(folder.keys, origin=settings.log_origin, dev=False)
    say(f"keys made in {folder.keys}; give public.json to your auditor")


@app.command()
def approver(
    principal: Annotated[str, typer.Option("--principal", help="Who will approve with it, e.g. user:alice.")],
    out: Annotated[Path, typer.Option("--out", help="Where to write the key.")],
    passphrase_file: Annotated[
        Path | None, typer.Option("--passphrase-file", help="Read the passphrase from this file.")
    ] = None,
) -> None:
    """Make an approver's key, protected by a passphrase, and print what to add to gateway.yaml."""
    kind, colon, name = principal.partition(":")
    if not colon or not name or kind not in list(PrincipalKind):
        raise ConfigError(f"{principal!r} is no principal", hint="Write kind:id, for example user:alice.")
    if passphrase_file is not None:
        passphrase = read_private_text(passphrase_file)
    else:
        passphrase = typer.prompt("Passphrase", hide_input=True, confirmation_prompt=True, err=True)
    public = make_approver_key(out, principal, passphrase.encode())
    say(f"key written to {out}; add this to gateway.yaml:")
    typer.echo(f'approvers:\n  - principal: "{principal}"\n    public_key: "{public}"')


@app.command()
def public(state: StateOption = None) -> None:
    """Print the public keys an auditor needs."""
    path = state_folder(state).keys / "public.json"
    load_trusted_keys(path)
    typer.echo(path.read_text(), nl=False)


@app.command()
def token() -> None:
    """Make a caller's token: hand it to the caller, and put its SHA-256 into gateway.yaml."""
    import secrets

    made = secrets.token_urlsafe(32)
    print_json({"token": made, "token_sha256": token_digest(made)})
