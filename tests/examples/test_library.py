"""The example API does what its document says, and the example configuration makes tools of it."""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest

from gateway.adapters.upstream.spec import OpenApiSpec
from gateway.core.capability import Capability
from gateway.core.catalog import Catalog, build_catalog
from gateway.core.conversation import SILENT
from gateway.core.reply import ToolReply
from gateway.settings import Settings, load_settings
from tests.running import REPOSITORY
from tests.upstream.world import World, running

pytestmark = pytest.mark.anyio

EXAMPLES = REPOSITORY / "examples"


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings(EXAMPLES / "library.yaml")


@pytest.fixture(scope="module")
def api() -> Iterator[str]:
    """Its address."""
    command = [sys.executable, str(EXAMPLES / "library_api.py"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()
            process.wait(10)


@pytest.fixture(scope="module")
async def library(settings: Settings, api: str) -> AsyncIterator[World]:
    spec = next(spec for spec in settings.upstream_specs() if isinstance(spec, OpenApiSpec))
    async with running(replace(spec, url=api)) as world:
        yield world


def catalog_of(settings: Settings, world: World) -> Catalog:
    tools = list(world.tools("library").values())
    pins = {tool.capability_id: tool.digest for tool in tools}
    return build_catalog(tools, settings.rules(), pins, believed=settings.believed())


async def call(settings: Settings, world: World, tool: str, **arguments: Any) -> dict[str, Any]:
    capability = catalog_of(settings, world).resolve(f"library__{tool}")
    assert isinstance(capability, Capability)
    reply = await world.run_sealed(world.call("library", tool, arguments, capability=capability), SILENT)
    assert isinstance(reply, ToolReply), reply
    return reply.document


async def test_the_modes_are_those_of_the_methods_but_for_the_rule(settings: Settings, library: World) -> None:
    catalog = catalog_of(settings, library)
    assert not catalog.hidden
    told = {name: (one.mode.value, one.classification.declared_by.value) for name, one in catalog.capabilities.items()}
    assert told == {
        "library__findBooks": ("read_only", "method"),
        "library__getBook": ("read_only", "method"),
        "library__addBook": ("network", "method"),
        "library__discardBook": ("destructive", "method"),
        "library__lendBook": ("local_write", "rule"),
    }
    assert [spec.name for spec in settings.upstream_specs()] == ["shop", "library"]


async def test_every_operation_works(settings: Settings, library: World) -> None:
    added = await call(settings, library, "addBook", body={"title": "Emma"})
    assert added["structuredContent"] == {"number": 3, "title": "Emma", "lent": False}
    lent = await call(settings, library, "lendBook", number=3)
    assert lent["structuredContent"]["lent"] is True
    again = await call(settings, library, "lendBook", number=3)
    assert (again["isError"], "lent already" in again["content"][0]["text"]) == (True, True)
    found = await call(settings, library, "findBooks", title="em", lent=True)
    assert [book["title"] for book in found["structuredContent"]["books"]] == ["Emma"]
    assert (await call(settings, library, "discardBook", number=3))["content"][0]["text"] == "HTTP 204 No Content"
    assert (await call(settings, library, "getBook", number=3))["isError"] is True
