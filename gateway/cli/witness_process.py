"""The process that `sealgate witness serve` runs. Apart from the command, since what it imports takes a while to load."""

import asyncio
import time
from pathlib import Path

import typer
import uvloop

from gateway.adapters.keys import FileSigner
from gateway.adapters.witness_store import WitnessStore
from gateway.cli.render import one_line, say
from gateway.core.verifier_key import VerifierKey
from gateway.core.witness import LogKeys
from gateway.edge import logs
from gateway.edge.daemon import http_port, http_surface, until_stopped
from gateway.edge.witness import WitnessApp


def run(key: VerifierKey, signer: FileSigner, known: LogKeys, memory: Path, *, host: str, port: int) -> None:
    """Serve until stopped. Exit code 1 where the memory failed."""
    logs.configure()
    if uvloop.run(_serve(key, signer, known, memory, host=host, port=port)):
        raise typer.Exit(1)


async def _serve(key: VerifierKey, signer: FileSigner, known: LogKeys, memory: Path, *, host: str, port: int) -> bool:
    death = asyncio.Event()
    store = WitnessStore(memory)
    try:
        witness = WitnessApp(key, signer, known, store, now=lambda: int(time.time()), on_death=lambda _fault: death.set())
        with http_port(host, port) as bound:
            async with http_surface(witness.app(), bound):
                address = f"http://{f'[{host}]' if ':' in host else host}:{bound.getsockname()[1]}"
                say(one_line(f"Witness {key.id} at {address} for {', '.join(known)}"))
                await until_stopped(death)
    finally:
        store.close()
    return death.is_set()
