"""Would the campaign notice? Gateways that are broken on purpose, under the same fire: they must be found out."""

import json
from pathlib import Path
from typing import Any

from fuzz import differential, frames
from fuzz.tally import Tally
from gateway.core import wire

FRAMES = 200
CASES = 1_000


def frames_with_a_lenient_parser(tally: Tally, folder: Path) -> None:
    """The whole gateway, but messages are read leniently: what must be refused is taken, or never answered."""
    frames.run(tally, folder, FRAMES, module="fuzz.lenient", hang_seconds=1.0)


def differential_with_a_lenient_parser(tally: Tally, folder: Path) -> None:
    """A proxy that passes on the client's own bytes: of two equal keys policy sees the first, the upstream the last."""

    def parse(data: bytes) -> dict[str, Any]:
        try:
            found = json.loads(data, object_pairs_hook=lambda pairs: dict(reversed(pairs)))
        except ValueError as error:
            raise wire.Malformed(wire.PARSE_ERROR, "no JSON") from error
        return found if isinstance(found, dict) and isinstance(found.get("params"), dict) else {"params": {}}

    differential.run(tally, folder, CASES, differential.Way(parse, lambda call, sent: sent.replace(b"\n", b" ")))
