"""What spans credentials and the rest of the file. These rules read the values as written, like those of `checks.py`.

* a variable that holds a secret is set
* credentials are for what is reached by a url, over https where that is not on this machine
* no header stands twice
"""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from gateway.core.addresses import is_loopback_host
from gateway.settings.credentials import secret_names
from gateway.settings.layers import SERVER_BLOCKS
from gateway.settings.mistakes import Mistake


def credentials_mistakes(values: Mapping[str, Any], environment: Mapping[str, str]) -> Iterator[Mistake]:
    """The mistakes in `values` by the rules above."""
    for loc, name in secret_names(values):
        if name.startswith("${") and name.endswith("}") and not environment.get(name[2:-1]):
            yield Mistake(loc, f"the environment variable {name[2:-1]} is not set, or empty. Set it.")
    upstreams = values.get("upstreams")
    for upstream, block in upstreams.items() if isinstance(upstreams, dict) else ():
        told = block.get("credentials") if isinstance(block, dict) else None
        if isinstance(told, dict):
            yield from _misplaced(values, upstream, told)


def _misplaced(values: Mapping[str, Any], upstream: str, told: Mapping[str, Any]) -> Iterator[Mistake]:
    loc = ("upstreams", upstream, "credentials")
    server = _server(values, upstream)
    if server is None:
        return  # told elsewhere
    url = next((server[key] for key in ("url", "base_url", "card") if key in server), None)
    if not isinstance(url, str):
        yield Mistake(
            loc, "is for a server with url, an API or an agent. Give a program what it needs in its env.", at_key=True
        )
        return
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    if parts.scheme == "http" and not is_loopback_host(parts.hostname or ""):
        yield Mistake(
            loc, "would be sent unencrypted. Write https:// for a server that is not on this machine.", at_key=True
        )
    header = told.get("header", "Authorization")
    headers = server.get("headers")
    for name in headers if isinstance(headers, dict) else ():
        if isinstance(header, str) and isinstance(name, str) and name.lower() == header.lower():
            yield Mistake(loc, f"sends the header {header}, which headers sets, too. Keep one of them.", at_key=True)


def _server(values: Mapping[str, Any], upstream: str) -> dict[str, Any] | None:
    for kind in SERVER_BLOCKS:
        block = values.get(kind)
        server = block.get(upstream) if isinstance(block, dict) else None
        if isinstance(server, dict):
            return server
    return None
