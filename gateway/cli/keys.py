"""`sealgate keys`: a deployment's keys and approvers' keys."""

from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.adapters.keys import make_approver_key, make_keys, read_private_text
from gateway.adapters.keys.public import bundle_text
from gateway.adapters.state import StateFolder
from gateway.cli import api_keys
from gateway.cli.key_ids import whole_keyid
from gateway.cli.render import print_json, print_table, say
from gateway.cli.target import Here, JsonOption, StateOption, Target, state_folder, targeted
from gateway.core.errors import ConfigError, KeyFault
from gateway.core.run_context import PrincipalKind
from gateway.core.trust import KeyRole, TrustedKeys
from gateway.core.trust_bundle import in_order, key_documents, verifier_key
from gateway.edge.auth import token_digest
from gateway.settings import Settings, load_settings

ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="gateway.yaml, which names the log's anchors. Default: ./gateway.yaml.")
]

app = typer.Typer(help="Keys of the gateway, of approvers and of callers.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(api_keys.app, name="api")


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


@app.command("list")
@targeted
def list_keys(*, target: Target, json: JsonOption = False) -> None:
    """The keys of the gateway, those of the past too: where in the log each counts."""
    if isinstance(target, Here):
        found = key_documents(_bundle(target.state))
    else:
        with target.client() as client:
            found = client.get("/api/v1/log/keys")["keys"]
    if json:
        print_json({"keys": found})
        return
    rows = [[item["role"], item["keyid"], str(item["since"]), str(item["until"] or ""), _how(item)] for item in found]
    print_table(["role", "id", "since", "until", "state"], rows, empty="There are no keys.")


@app.command("rotate")
def rotate_key(
    role: Annotated[KeyRole, typer.Argument(help="Which key: that of entries, or that of the log's checkpoints.")],
    state: StateOption = None,
    config: ConfigOption = None,
) -> None:
    """Put a new key in the place of the one in force, and destroy the old one. Stop the gateway before."""
    from gateway.key_changes import rotate  # only here: it takes a while to load

    folder, settings = _deployment(state, config)
    with _owned(folder):
        _hold_against_anchors(folder, settings)
        done = rotate(folder, role)
    _say_rotated(role, done.index, done.old, done.new)


@app.command("revoke")
def revoke_key(
    keyid: Annotated[str, typer.Argument(help="A key id, as `sealgate keys list` shows it; its beginning is enough.")],
    reason: Annotated[str, typer.Option("--reason", help="Why: it will stand in the log.")],
    since: Annotated[
        int | None,
        typer.Option(
            "--since", min=0, help="The first entry that is in doubt. Default: none so far, the key counts no longer."
        ),
    ] = None,
    state: StateOption = None,
    config: ConfigOption = None,
) -> None:
    """Let what a key signed from an entry on count for nothing. One in force is rotated first. Stop the gateway before."""
    from gateway.key_changes import revoke  # only here: it takes a while to load

    folder, settings = _deployment(state, config)
    bundle = _bundle(folder)
    whole = whole_keyid(keyid, bundle)
    with _owned(folder):
        _hold_against_anchors(folder, settings)
        done = revoke(folder, whole, since, reason)
    role = bundle.role_of(whole)
    if role is not None and done.rotation is not None:
        _say_rotated(role, done.rotation.index, done.rotation.old, done.rotation.new)
    say(f"entry {done.index} revokes {whole} from {done.since} on; give public.json to your auditor again")


@app.command()
def public(
    state: StateOption = None,
    vkey: Annotated[
        bool, typer.Option("--vkey", help="Only the log key in force, as a C2SP verifier key: for witnesses.")
    ] = False,
) -> None:
    """Print the trust bundle: the public keys an auditor needs."""
    bundle = _bundle(state_folder(state))
    if not vkey:
        typer.echo(bundle_text(bundle), nl=False)
        return
    for period in in_order(bundle, KeyRole.LOG):
        if period.in_force:
            typer.echo(verifier_key(bundle, period).text)


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
def token() -> None:
    """Make a caller's token: hand it to the caller, and put its SHA-256 into gateway.yaml."""
    import secrets

    made = secrets.token_urlsafe(32)
    print_json({"token": made, "token_sha256": token_digest(made)})


def _bundle(folder: StateFolder) -> TrustedKeys:
    from gateway.key_changes import trusted_keys  # only here: it takes a while to load

    return trusted_keys(folder)


def _deployment(state: Path | None, config: Path | None) -> tuple[StateFolder, Settings | None]:
    """The state folder, and its configuration: `--config`, or ./gateway.yaml where this folder is its `state`."""
    path = config or Path("gateway.yaml")
    if config is None and not path.exists():
        return state_folder(state), None
    settings = load_settings(path)
    if config is None and state is not None and state.resolve() != settings.state_dir.resolve():
        return state_folder(state), None
    return state_folder(state or settings.state_dir), settings


def _hold_against_anchors(folder: StateFolder, settings: Settings | None) -> None:
    """Nothing is added to a log that was rolled back behind an anchor. Raises `GatewayError`, as a start would."""
    if settings is None:
        if folder.anchored.exists():
            raise ConfigError(
                "this log is anchored, and only its configuration says where and by whom",
                hint="Say which it is: --config gateway.yaml.",
            )
    elif settings.configuration.log.anchors is not None:
        from gateway.edge import logs  # only here: they take a while to load
        from gateway.wiring import hold_against_anchors

        logs.configure()
        hold_against_anchors(settings, folder)


def _owned(folder: StateFolder) -> StateFolder:
    """The state folder, to be entered: there are keys in it. Raises `KeyFault`."""
    if not folder.keys.exists():
        raise KeyFault(f"no keys at {folder.keys}", hint="sealgate keys new makes them.")
    return folder


def _how(told: dict[str, Any]) -> str:
    revoked = told["revoked"]
    return str(told["state"]) if revoked is None else f"revoked from {revoked['since']} on: {revoked['reason']}"


def _say_rotated(role: KeyRole, index: int, old: str, new: str) -> None:
    say(f"entry {index} puts {new} in the place of {old}, which is destroyed")
    if role is KeyRole.LOG:
        say("give the new verifier key to your witnesses: sealgate keys public --vkey")
