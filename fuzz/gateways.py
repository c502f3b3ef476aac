"""Gateways under fire: the tests' own, with more upstreams and rules, or weakened on purpose."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.edge.box import Box, configured
from tests.running import RunningGateway


@contextmanager
def besieged(
    folder: Path, rules: str = "", *, web: int | None = None, policy: str = "", module: str = "gateway"
) -> Iterator[Box]:
    """A gateway with all its tools approved.

    `rules` are lines of `tools`, `web` is the port of an HTTP upstream of that name, `policy` the folder of other policies,
    `module` the Python module that is run as the gateway.
    """
    (folder / "box").mkdir(exist_ok=True)
    text = configured(folder / "box", rules + (f"policy: {{path: {policy}}}\n" if policy else ""))
    if web is not None:
        text = text.replace("mcpServers:\n", f"mcpServers:\n  web: {{url: 'http://127.0.0.1:{web}/mcp'}}\n")
        text = text.replace("upstreams:\n", "upstreams:\n  web: {deadline_seconds: 8}\n")
    gateway = RunningGateway(folder, module=module)
    gateway.configure(text)
    with gateway:
        gateway.approve_tools()
        yield Box(gateway, folder / "box")
