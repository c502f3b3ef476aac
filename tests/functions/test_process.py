"""Functions behind the gateway: in a process of their own, with nothing of the gateway's, and held to what they declare."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.upstream.function import function_spec
from gateway.adapters.upstream.spec import Sandbox
from gateway.adapters.upstream.status import State
from gateway.core.reply import NoAnswer, ToolReply
from tests.functions.modules import serving_functions, written
from tests.upstream.world import QUICK, World, running

pytestmark = pytest.mark.anyio

MODULE = """
import asyncio, os, sys, threading, time
from dataclasses import dataclass
from pydantic import BaseModel

print("printed while it is imported")
meeting = threading.Barrier(2)


class Sum(BaseModel):
    total: int


@tool(mode="read_only")
def add(a: int, b: int) -> Sum:
    print("printed in a call")
    os.write(1, b"written to the file of stdout\\n")
    return Sum(total=a + b)


@tool(mode="read_only")
async def greet(name: str) -> str:
    return f"hello {name}"


@tool(mode="read_only")
def several() -> list[int]:
    return [1, 2]


@tool(mode="local_write")
def nothing() -> None:
    pass


@tool(mode="read_only")
def refuse() -> str:
    raise ToolError("We are closed.")


@tool(mode="read_only")
def crash(secret: str) -> str:
    raise RuntimeError(f"the secret is {secret}")


@tool(mode="read_only")
def lie() -> Sum:
    return {"total": "many"}


@tool(mode="read_only")
def meet() -> str:
    meeting.wait(2)
    return "met"


@tool(mode="read_only")
async def sleep() -> str:
    await asyncio.sleep(60)
    return "late"


@tool(mode="read_only")
def about() -> dict[str, str]:
    return {"pid": str(os.getpid()), "env": " ".join(sorted(os.environ))}
"""


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    module = written(tmp_path_factory.mktemp("functions"), MODULE)
    os.environ["SEALGATE_TEST_SECRET"] = "x"
    try:
        async with serving_functions(module, replace(QUICK, deadline_seconds=2.0), SHOP_KEY="1") as world:
            yield world
    finally:
        del os.environ["SEALGATE_TEST_SECRET"]


async def answer(world: World, tool: str, arguments: dict[str, Any] | None = None) -> dict[str, Any]:
    reply = await world.run("fn", tool, arguments)
    assert isinstance(reply, ToolReply), reply
    return reply.document


async def test_values_come_back_as_text_and_objects_as_structured_content_too(world: World) -> None:
    added = await answer(world, "add", {"a": 1, "b": 2})
    assert (added["structuredContent"], added["content"][0]["text"]) == ({"total": 3}, '{"total": 3}')
    assert await world.text("fn", "greet", {"name": "you"}) == "hello you"
    several = await answer(world, "several")
    assert (several["content"][0]["text"], several.get("structuredContent")) == ("[1, 2]", None)
    assert (await answer(world, "nothing"))["content"] == []


async def test_an_error_of_its_own_is_told_and_of_a_crash_only_that_there_was_one(world: World) -> None:
    for tool, said, arguments in (
        ("refuse", "We are closed.", None),
        ("crash", "crash failed.", {"secret": "hunter2"}),
        ("lie", "lie failed.", None),
    ):
        told = await answer(world, tool, arguments)
        assert told["isError"] is True
        assert told["content"][0]["text"] == said
    assert await world.text("fn", "greet", {"name": "still there"}) == "hello still there"


async def test_functions_that_wait_do_not_wait_for_each_other(world: World) -> None:
    both = await asyncio.gather(world.text("fn", "meet"), world.text("fn", "meet"))
    assert list(both) == ["met", "met"]


async def test_it_runs_in_another_process_with_the_environment_that_was_declared(world: World) -> None:
    told = (await answer(world, "about"))["structuredContent"]
    assert int(told["pid"]) != os.getpid()
    assert "SHOP_KEY" in told["env"].split()
    assert "SEALGATE_TEST_SECRET" not in told["env"].split()


async def test_one_that_takes_too_long_is_no_answer_and_the_others_go_on(world: World) -> None:
    assert isinstance(await world.run("fn", "sleep"), NoAnswer)
    assert await world.text("fn", "greet", {"name": "you"}) == "hello you"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('@tool(mode="read_only")\ndef look(x) -> str: ...\n', "look cannot be a tool: x has no type hint"),
        ("import nothing_of_this_name\n", "No module named"),
    ],
)
async def test_a_module_that_cannot_be_served_is_down_and_says_why_on_stderr(tmp_path: Path, text: str, why: str) -> None:
    async with serving_functions(written(tmp_path, text)) as world:
        status = world.status("fn")
        assert status.state is State.DOWN, status
        assert why in status.stderr_tail


async def test_an_installed_module_is_named_without_a_path(tmp_path: Path) -> None:
    written(tmp_path, MODULE, "installed_tools.py")
    spec = function_spec("fn", "installed_tools", None, {"PYTHONPATH": str(tmp_path)}, str(tmp_path), QUICK, None)
    async with running(spec) as world:
        assert await world.text("fn", "greet", {"name": "you"}) == "hello you"


@pytest.fixture
def open_folder(bwrap: str) -> Iterator[Path]:
    """One that every user may enter: the gateway may be root, and then the module runs as nobody."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.mark.bwrap
async def test_in_a_sandbox_it_has_itself_and_its_python_and_nothing_beside(open_folder: Path) -> None:
    module = written(open_folder, SANDBOXED)
    written(open_folder, "", "beside.py")
    spec = function_spec("fn", module, None, {}, str(open_folder), QUICK, Sandbox())
    async with running(spec) as world:
        assert await world.text("fn", "sees", {"path": module}) == "yes"
        assert await world.text("fn", "sees", {"path": str(open_folder / "beside.py")}) == "no"
        assert await world.text("fn", "reaches") == "no"


SANDBOXED = """
import os, socket


@tool(mode="read_only")
def sees(path: str) -> str:
    return "yes" if os.path.exists(path) else "no"


@tool(mode="read_only")
def reaches() -> str:
    return "yes" if [name for _, name in socket.if_nameindex() if name != "lo"] else "no"
"""
