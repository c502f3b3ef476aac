"""What a server may write to decides nothing: not what is allowed, not what runs, not what a start of a server is given."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import pytest
from pydantic import BaseModel

import gateway
from gateway.adapters.upstream.lookup import look_up
from gateway.settings import load_settings
from gateway.settings.deciding import DECIDING
from gateway.settings.model import Configuration
from gateway.settings.words import PathText
from tests.settings.conftest import Told, Write

CHOSEN = "is looked up in"
STARTED = "may write and so choose what is started"


def sandboxes(**writes: str) -> str:
    """The block `upstreams`: a sandbox for each server, with these keys."""
    blocks = ", ".join(f"{name}: {{sandbox: {{kind: bubblewrap, {keys}}}}}" for name, keys in writes.items())
    return f"upstreams: {{{blocks}}}\n"


@pytest.fixture(autouse=True)
def folders(tmp_path: Path) -> None:
    for name in ("job/docs", "other", "app/bin", "job/bin"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "alias").symlink_to("job/docs")
    (tmp_path / "whole").symlink_to("job")
    (tmp_path / "job" / "hop").symlink_to("../other")
    (tmp_path / "far").symlink_to("job/hop")
    for name in ("job/bin/tool", "app/bin/server"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)


# -- where a path is looked up

TWO = "mcpServers: {a: {command: sh}, b: {command: sh}}\n"


@pytest.mark.parametrize("path", ["job/docs", "job/not-there", "job/docs/deeper", "alias", "far", "whole/docs"])
@pytest.mark.parametrize("key", ["read", "write"])
def test_a_path_is_not_looked_up_where_a_server_may_write(told: Told, path: str, key: str) -> None:
    """That one would put a link in its place, and choose what the next start of the other server, or its own, binds."""
    for same in (False, True):
        lists = {"a": "write: [job]", "b": f"{key}: [{path}]"}
        if same:
            lists = {"a": f"write: [job, {path}]" if key == "write" else f"write: [job], read: [{path}]"}
        (line,) = told(sandboxes(**lists) + TWO)
        assert f'{key}[{1 if same and key == "write" else 0}]: {CHOSEN} "job", where a may write' in line
        assert "Name that folder itself, or one beside it." in line


@pytest.mark.parametrize("path", ["job/docs", "alias", "far"])
@pytest.mark.parametrize("whose", ["a", "b", "*"])
def test_a_root_is_not_looked_up_where_a_server_may_write(told: Told, path: str, whose: str) -> None:
    given = "write: [job], read: [alias, far]" if path != "job/docs" else "write: [job]"
    text = sandboxes(a=given) + TWO + f"tools: [{{match: '{whose}__x', mode: read_only, roots: [{path}]}}]"
    assert [line for line in told(text) if f'tools[0].roots[0]: {CHOSEN} "job", where a may write' in line]


def test_the_folder_itself_may_be_shared_and_be_a_root(write: Write, tmp_path: Path) -> None:
    text = sandboxes(a="write: [job, other]", b="read: [job, whole], write: [other]") + TWO
    text += "tools: [{match: 'a__x', mode: read_only, roots: [job, other]}]"
    assert len(load_settings(write(text)).upstream_specs()) == 2


def test_a_root_of_a_server_elsewhere_is_no_folder_here(write: Write) -> None:
    text = sandboxes(a="write: [job]") + "mcpServers: {a: {command: sh}, web: {url: 'https://mcp.example.com/mcp'}}\n"
    text += "tools: [{match: 'web__x', mode: read_only, roots: [job/docs]}]"
    assert load_settings(write(text)).rules()


def test_a_path_is_followed_name_by_name(tmp_path: Path) -> None:
    base = os.path.realpath(tmp_path)
    found = look_up(f"{base}/far/./x/../y")
    assert found.real == f"{base}/other/y"
    assert {f"{base}/far", f"{base}/job", f"{base}/job/hop", f"{base}/other"} <= set(found.names)
    (tmp_path / "loop").symlink_to("loop")
    assert look_up(f"{base}/loop").real == f"{base}/loop", "a circle ends"
    assert look_up("/\0/x").real == "/\0/x", "so does what can be no path"


# -- what is started

STARTS = [
    ("command", "{command: app/bin/server}", "app"),
    ("command", "{command: app/bin/server}", "app/bin/server"),
    ("command", "{command: app/bin/server}", "app/bin"),
    ("command", "{command: ./by-link}", "job"),
    ("command", "{command: tool, env: {PATH: '@/job/bin:/usr/bin:/bin'}}", "job"),
    ("command", "{command: sh, env: {PATH: '@/job/bin:/usr/bin:/bin'}}", "job/bin"),
    ("env.PATH", "{command: /bin/sh, env: {PATH: '@/job/bin:/usr/bin:/bin'}}", "job/bin"),
    ("env.PYTHONPATH", "{command: /bin/sh, env: {PYTHONPATH: '@/app:@/alias'}}", "job"),
    ("env.LD_LIBRARY_PATH", "{command: /bin/sh, cwd: app, env: {LD_LIBRARY_PATH: ../job}}", "job"),
    ("command", "{command: ./script}", "job"),
    ("command", "{command: venv/bin/python}", "job"),
    ("command", "{command: installed/bin/server}", "installed/lib"),
    ("command", "{command: installed/bin/server}", "installed/lib/node_modules"),
    ("args[1]", "{command: python, args: [-I, job/run.py]}", "job"),
    ("args[0]", "{command: python, args: [run.py], cwd: job}", "job"),
    ("cwd", "{command: python, cwd: job/docs}", "job"),
    ("cwd", "{command: python, cwd: alias}", "job"),
]


@pytest.mark.parametrize(("key", "server", "writable"), STARTS)
@pytest.mark.parametrize("whose", ["its own", "another's, and it has none", "another's"])
def test_no_server_is_started_from_where_a_server_may_write(
    told: Told, tmp_path: Path, key: str, server: str, writable: str, whose: str
) -> None:
    (tmp_path / "by-link").symlink_to("job/bin/tool")
    (tmp_path / "script").write_text(f"#!{tmp_path}/job/bin/tool\n")
    (tmp_path / "script").chmod(0o755)
    (tmp_path / "venv/bin").mkdir(parents=True)
    (tmp_path / "venv/pyvenv.cfg").write_text(f"home = {tmp_path}/job/bin\n")
    (tmp_path / "venv/bin/python").symlink_to("/bin/sh")
    (tmp_path / "installed/bin").mkdir(parents=True)
    (tmp_path / "installed/lib/node_modules").mkdir(parents=True)
    (tmp_path / "installed/bin/server").write_text("")
    (tmp_path / "installed/bin/server").chmod(0o755)
    (tmp_path / "job/run.py").write_text("")
    server = (
        server.replace("@", str(tmp_path)).replace("by-link", "./by-link").replace("{command: script", "{command: ./script")
    )
    servers = f"mcpServers: {{a: {server}, b: {{command: sh}}}}\n"
    blocks = {"a": "read: []", "b": f"write: [{writable}]"}
    if whose == "its own":
        blocks = {"a": f"write: [{writable}]"}
    elif whose == "another's, and it has none":
        del blocks["a"]
    lines = told(sandboxes(**blocks) + servers)
    assert [line for line in lines if f"mcpServers.a.{key}: " in line and STARTED in line], lines


@pytest.mark.parametrize(
    ("server", "own", "others"),
    [
        ("{command: python, args: [../app/run.py, .], cwd: job}", "job", "other"),
        ("{command: app/bin/server, args: [job/docs]}", "job", "job"),
        ("{command: sh, cwd: app}", "job", "app/data"),
    ],
)
def test_programs_and_data_in_folders_of_their_own_are_fine(write: Write, server: str, own: str, others: str) -> None:
    text = sandboxes(a=f"write: [{own}]", b=f"write: [{others}]") + f"mcpServers: {{a: {server}, b: {{command: sh}}}}\n"
    assert load_settings(write(text)).upstream_specs()


# -- what decides

PLACES = {
    ("policy", "path"): "policy: {path: there/it}",
    ("policy", "verification_key"): "policy: {path: p, verification_key: there/it}",
    ("policy", "shadow"): "policy: {shadow: there/it}",
    (
        "listen",
        "unix",
    ): "listen: {unix: there/it, peers: [{uid: 1000, principal: 'service:x'}]}",
    ("policy", "decision_log"): "policy: {decision_log: there/it}",
    ("log", "anchors", "policy"): "log: {anchors: {policy: there/it}}",
    ("log", "anchors", "keep"): "log: {anchors: {policy: p, keep: there/it}}",
    ("log", "anchors", "timestamp", "ca"): "log: {anchors: {policy: p, timestamp: {url: 'http://t.example', ca: there/it}}}",
    (
        "approvals",
        "webhooks",
        "*",
        "secret_file",
    ): "approvals: {webhooks: [{secret_file: there/it, url: 'https://a.co'}]}",
    ("openapi", "*", "document"): "openapi: {api: {document: there/it, base_url: 'https://a.co'}}",
}


@pytest.mark.parametrize("path", ["there", "there/it", "there/it/below", "link-to-there"])
@pytest.mark.parametrize("key", DECIDING)
def test_no_server_may_write_what_decides(told: Told, tmp_path: Path, key: tuple[str, ...], path: str) -> None:
    (tmp_path / "there/it").mkdir(parents=True)
    (tmp_path / "link-to-there").symlink_to("there")
    (line,) = told(f"{PLACES[key]}\n" + sandboxes(a=f"write: [{path}]") + TWO)
    spelled = ".".join(key).replace("s.*", "s[0]").replace("openapi.*", "openapi.api")
    assert f"write[0]: reaches {spelled}, on which the gateway relies. Name a folder beside it." in line


def test_what_decides_may_lead_elsewhere_only_past_what_servers_write(told: Told, tmp_path: Path) -> None:
    (tmp_path / "policies").symlink_to("job/hop")
    (line,) = told("policy: {path: policies}\n" + sandboxes(a="write: [job]") + TWO)
    assert "write[0]: reaches policy.path" in line
    (line,) = told("policy: {path: policies}\n" + sandboxes(a="write: [other]") + TWO)
    assert "write[0]: reaches policy.path" in line


@pytest.mark.parametrize("file", ["gateway.yaml", "gateway.lock"])
def test_the_file_and_the_lock_are_what_they_are_through_links_as_well(
    told: Told, write: Write, tmp_path: Path, file: str
) -> None:
    (line,) = told(sandboxes(a=f"write: [{file}]") + TWO)
    assert f"write[0]: reaches {file}, which says what is allowed" in line
    (tmp_path / file).unlink(missing_ok=True)
    (tmp_path / file).symlink_to(f"job/{file}")
    (line,) = told(sandboxes(a="write: [job]") + TWO)
    assert f"write[0]: reaches {file}, which says what is allowed" in line


def test_the_secret_of_a_webhook_is_not_read_either_and_the_rest_may_be(told: Told, write: Write, tmp_path: Path) -> None:
    places = {key: text for key, text in PLACES.items() if key[0] not in ("approvals", "log", "listen")}
    for text in places.values():
        assert load_settings(write(f"{text}\n" + sandboxes(a="read: [there]") + TWO)).upstream_specs()
    (line,) = told(f"{PLACES['approvals', 'webhooks', '*', 'secret_file']}\n" + sandboxes(a="read: [there]") + TWO)
    assert "read[0]: reaches approvals.webhooks[0].secret_file" in line


@pytest.mark.parametrize("path", ["/etc", "/etc/x", "/usr", "/usr/bin", "/bin", "/lib", "GATEWAY", "PREFIX"])
def test_no_server_may_write_the_programs_that_hold_it(told: Told, path: str) -> None:
    own = {"GATEWAY": str(Path(gateway.__file__).parent), "PREFIX": sys.prefix}
    lines = told(sandboxes(a=f"write: [{own.get(path, path)}]") + TWO)
    assert [line for line in lines if "write[0]: reaches" in line]


def test_no_path_of_the_file_is_forgotten() -> None:
    """Each is one that decides, or one that is given to servers and held by the rules above."""
    given = {
        ("state",),
        *(("mcpServers", "*", key) for key in ("command", "cwd")),
        ("functions", "*", "python"),
        *(("upstreams", "*", "sandbox", key, "*") for key in ("read", "write")),
        ("tools", "*", "roots", "*"),
    }
    assert set(_paths_of(Configuration, ())) == {*DECIDING, *given}


def _paths_of(kind: Any, key: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            whole = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
            yield from _paths_of(whole, (*key, name))
    elif get_origin(kind) is Annotated and set(get_args(PathText)[1:]) <= set(get_args(kind)[1:]):
        yield key
    else:
        many = get_origin(kind) in (tuple, dict)
        for argument in get_args(kind):
            yield from _paths_of(argument, (*key, "*") if many else key)
