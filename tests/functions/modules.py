"""Modules of functions for tests, and a way to run them as upstreams."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.adapters.upstream.function import function_spec
from gateway.adapters.upstream.spec import Limits
from tests.upstream.world import QUICK, World, running

HEAD = "from sealgate import ToolError, tool\n"


def written(folder: Path, text: str, name: str = "tools.py") -> str:
    """A module with the usual import and this text; its path."""
    path = folder / name
    path.write_text(HEAD + text)
    return str(path)


@asynccontextmanager
async def serving_functions(module: str, limits: Limits = QUICK, **env: str) -> AsyncIterator[World]:
    """The module as the upstream `fn`, in its own process."""
    async with running(function_spec("fn", module, None, env, str(Path(module).parent), limits, None)) as world:
        yield world
