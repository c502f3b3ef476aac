"""`sealgate witness`: a C2SP witness, run by somebody else on another host than the gateways it watches."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.adapters.keys import FileSigner, load_signing_key, make_signing_key
from gateway.adapters.witness_store import make_memory
from gateway.cli.render import say
from gateway.core.errors import ConfigError
from gateway.core.verifier_key import SignatureType, VerifierKey, check_key_name, parse_verifier_key
from gateway.core.witness import LogKeys

app = typer.Typer(
    help="A witness: cosigns the checkpoints of logs that never take anything back.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_KEY = "witness.pem"
_PUBLIC = "witness.vkey"
_MEMORY = "witness.db"
_MAX_BYTES = 1_000_000


@app.command()
def new(
    name: Annotated[str, typer.Option("--name", help="The witness's name, e.g. witness.example.com/w1.")],
    out: Annotated[Path, typer.Option("--out", help="A folder for its key and its memory.")],
) -> None:
    """Make a witness's key, and print its verifier key: what a gateway's policy names it by."""
    try:
        check_key_name(name)
    except ValueError as error:
        raise ConfigError(str(error), hint="Write for example: --name witness.example.com/w1") from error
    try:
        out.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigError(f"cannot make the folder {out}: {error.strerror}") from error
    signer = make_signing_key(out / _KEY)
    make_memory(out / _MEMORY)  # once: a witness that lost it must not go on under the same key
    key = VerifierKey(name, SignatureType.COSIGNATURE, signer.public_key)
    (out / _PUBLIC).write_text(f"{key.text}\n")
    say(f"witness key made in {out}; give this verifier key to those whose logs it will witness:")
    typer.echo(key.text)


@app.command()
def serve(
    folder: Annotated[Path, typer.Option("--dir", help="The folder that `witness new` made.")],
    logs: Annotated[
        list[Path], typer.Option("--log", help="A file with the verifier key of a log, or several; may be repeated.")
    ],
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="TCP port; 0 takes any free one.")] = 8751,
) -> None:
    """Cosign the checkpoints of these logs, over plain HTTP, until stopped."""
    signer, key = _own_key(folder)
    known = _log_keys(logs)
    from gateway.cli import witness_process

    witness_process.run(key, signer, known, folder / _MEMORY, host=host, port=port)


def _own_key(folder: Path) -> tuple[FileSigner, VerifierKey]:
    signer = load_signing_key(folder / _KEY)
    keys = _read_keys(folder / _PUBLIC)
    if [(key.kind, key.public_key) for key in keys] != [(SignatureType.COSIGNATURE, signer.public_key)]:
        raise ConfigError(f"{folder / _PUBLIC} is not the public half of {folder / _KEY}")
    return signer, keys[0]


def _log_keys(files: list[Path]) -> LogKeys:
    known: dict[str, tuple[VerifierKey, ...]] = {}
    for path in files:
        keys = _read_keys(path)
        if not keys:
            raise ConfigError(f"{path} holds no verifier key")
        for key in keys:
            if key.kind is not SignatureType.ED25519:
                raise ConfigError(f"{path}: {key.id} is not a log's key (signature type 01)")
            known[key.name] = (*known.get(key.name, ()), key)
    return known


def _read_keys(path: Path) -> list[VerifierKey]:
    """One verifier key a line; empty lines and those that begin with # are passed over."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise ConfigError(f"{path} holds no keys: it has more than {_MAX_BYTES} bytes")
        lines = [line.strip() for line in data.decode().splitlines()]
        return [parse_verifier_key(line) for line in lines if line and not line.startswith("#")]
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}", hint="sealgate keys public --vkey prints that of a log.") from error
