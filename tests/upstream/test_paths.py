"""A call's paths lie in the tool's folders, and no link on the way leads anywhere when they are looked at."""

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.upstream.paths import path_refusal
from gateway.adapters.upstream.spec import UpstreamSpec
from gateway.core.capability import ApprovalMode, Root
from gateway.core.fields import FieldRole
from tests.upstream.world import at, raw_stdio, running, serving


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a file, a folder and links to many places; beside it, what it must not lead to."""
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (root / "file").write_text("inside")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "file").write_text("outside")
    (root / "folder" / "out").symlink_to(tmp_path / "secret")
    (root / "up").symlink_to("..")
    (root / "file-out").symlink_to("../secret/file")
    (root / "within").symlink_to("folder")
    (root / "loop").symlink_to("loop")
    (root / "dangling").symlink_to(tmp_path / "not-there")
    return root


def code(path: str, *roots: Path, cwd: Path | None = None) -> str | None:
    return code_of(path, *map(at_start, roots), cwd=cwd)


def at_start(root: Path) -> Root:
    """The root as the gateway finds it when it starts."""
    return Root(str(root), os.path.realpath(root))


def code_of(path: str, *roots: Root, cwd: Path | None = None) -> str | None:
    start = cwd or (roots[0].path if roots else "/")
    reason = path_refusal([path], roots, str(start))
    return None if reason is None else reason.code


@pytest.mark.parametrize("path", ["", "file", "folder", "folder/new", "new", "new/er/est", "file/below", "..folder"])
def test_a_path_in_a_root_may_be_used_whether_or_not_something_is_there(root: Path, path: str) -> None:
    assert code(f"{root}/{path}".rstrip("/"), root) is None
    assert code(path or ".", root) is None, "relative to where the tool starts"


@pytest.mark.parametrize("name", ["", "-other", "/../secret/file", "/.."])
def test_a_path_beside_the_root_is_outside(root: Path, name: str) -> None:
    path = os.path.normpath(f"{root.parent}/root{name}" if name else str(root.parent))
    assert code(path, root) == "path.outside"


@pytest.mark.parametrize("path", ["/", "/etc/passwd", "/proc/self/root", "/dev/stdin"])
def test_a_path_anywhere_else_is_outside(root: Path, path: str) -> None:
    assert code(path, root) == "path.outside"


@pytest.mark.parametrize(
    "path",
    ["folder/out/file", "folder/out", "up/secret/file", "file-out", "within/x", "within", "loop", "loop/x", "dangling"],
)
def test_a_path_through_a_link_is_refused_wherever_the_link_leads(root: Path, path: str) -> None:
    assert code(f"{root}/{path}", root) == "path.link"
    assert code(path, root) == "path.link"


def test_a_root_that_is_itself_reached_through_a_link_goes_by_both_names(root: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(root)
    assert code(f"{link}/file", link) is None
    assert code(f"{root}/file", link) is None
    assert code(f"{link}/file", root) == "path.outside"


@pytest.mark.parametrize("swapped", ["root", "above", "link"])
def test_a_root_that_leads_elsewhere_than_at_the_start_is_not_followed(tmp_path: Path, swapped: str) -> None:
    (tmp_path / "above" / "root").mkdir(parents=True)
    (tmp_path / "link").symlink_to("above/root")
    (tmp_path / "secret" / "root").mkdir(parents=True)
    (tmp_path / "secret" / "root" / "key").write_text("outside")
    roots = [at_start(tmp_path / "above" / "root"), at_start(tmp_path / "link")]
    assert all(code_of(f"{root.path}/key", root) is None for root in roots)
    place = {"root": tmp_path / "above" / "root", "above": tmp_path / "above", "link": tmp_path / "link"}[swapped]
    place.rename(tmp_path / "old")
    place.symlink_to(tmp_path / ("secret" if swapped == "above" else "secret/root"))
    for root in roots[1:] if swapped == "link" else roots:
        assert code_of(f"{root.path}/key", root) == "path.link"
        assert code_of(f"{tmp_path}/secret/root/key", root) == "path.outside"
    if swapped != "link":
        assert code_of(f"{roots[0].real}/key", roots[1]) == "path.link", "by its other name, too"


def test_a_root_that_was_not_there_at_the_start_may_be_made_and_be_no_link(tmp_path: Path) -> None:
    made, linked = at_start(tmp_path / "made"), at_start(tmp_path / "linked")
    (tmp_path / "made").mkdir()
    (tmp_path / "linked").symlink_to("made")
    assert code_of(f"{tmp_path}/made/file", made) is None
    assert code_of(f"{tmp_path}/linked/file", linked) == "path.link"


def test_a_relative_path_starts_where_the_tool_starts(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    assert code(f"{other}/x", root, other) is None
    assert code("x", root, other, cwd=other) is None
    assert code("root/file", root, cwd=tmp_path) is None
    assert code("file", root, cwd=tmp_path) == "path.outside", "the folder of the tool is not where it starts"
    assert code("secret/file", root, cwd=tmp_path) == "path.outside"
    assert code("root/file-out", root, cwd=tmp_path) == "path.link"


def test_without_roots_any_path_may_be_used() -> None:
    assert code("/etc/passwd") is None


def test_a_root_that_is_not_there_or_is_no_folder_holds_no_path(root: Path, tmp_path: Path) -> None:
    assert code(f"{tmp_path}/missing/x", tmp_path / "missing") == "path.unchecked"
    assert code(f"{root}/file/x", root / "file") == "path.unchecked"


def test_what_the_gateway_cannot_look_at_is_refused(root: Path) -> None:
    assert code(f"{root}/{'a' * 300}", root) == "path.unchecked"


def test_every_path_of_a_call_is_looked_at(root: Path) -> None:
    reason = path_refusal([f"{root}/file", f"{root}/file-out"], [at_start(root)], "/")
    assert reason is not None
    assert reason.code == "path.link"


@pytest.fixture
def swapped(root: Path) -> Iterator[Path]:
    """A name in the root that is a folder and a link to the secret one in turn, as fast as can be."""
    name, folder, link = root / "swapped", root / "swapped-folder", root / "swapped-link"
    folder.mkdir()
    (folder / "file").write_text("inside")
    link.symlink_to(root.parent / "secret")
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            folder.rename(name)
            name.rename(folder)
            link.rename(name)
            name.rename(link)

    thread = threading.Thread(target=swap)
    thread.start()
    yield name
    done.set()
    thread.join()


def test_what_is_looked_at_is_never_what_a_link_leads_to(root: Path, swapped: Path) -> None:
    """The guard's own walk does not race: it opens what it looks at. Each answer is right of one of the moments."""
    answers = [code(f"{swapped}/file", root) for _ in range(5_000)]
    assert set(answers) <= {None, "path.link"}
    assert "path.link" in answers
    assert None in answers


@pytest.mark.anyio
async def test_a_call_is_refused_for_its_paths_before_it_is_sent(root: Path) -> None:
    async with running(replace(raw_stdio(), cwd=str(root))) as world:
        tool = world.capability(
            "raw", "echo", ApprovalMode.LOCAL_WRITE, fields={FieldRole.PATH: ("/path", "/more/*")}, roots=(at_start(root),)
        )
        cases: list[tuple[dict[str, Any], str | None]] = [
            ({"path": "file", "more": ["folder/x"]}, None),
            ({"path": "./folder//x/"}, None),
            ({"path": "file", "more": ["/etc/passwd"]}, "path.outside"),
            ({"path": "file-out"}, "path.link"),
            ({}, None),
        ]
        for arguments, expected in cases:
            reason = await world.ready_sealed(world.call("raw", "echo", arguments, capability=tool))
            assert (reason and reason.code) == expected


@pytest.mark.anyio
async def test_the_files_of_a_server_elsewhere_are_held_by_name_only(root: Path) -> None:
    with serving("raw_http.py") as port:
        specs: tuple[UpstreamSpec, ...] = (at(port),)
        async with running(*specs) as world:
            tool = world.capability(
                "web", "echo", fields={FieldRole.PATH: ("/path",)}, roots=(Root("/srv/not-here", "/srv/not-here"),)
            )
            inside = await world.ready_sealed(world.call("web", "echo", {"path": "/srv/not-here/x"}, capability=tool))
            outside = await world.ready_sealed(world.call("web", "echo", {"path": "/etc/passwd"}, capability=tool))
            relative = await world.ready_sealed(world.call("web", "echo", {"path": "x"}, capability=tool))
            assert inside is None
            assert relative is not None
            assert relative.code == "path.relative"
            assert outside is not None
            assert outside.code == "path.outside"
