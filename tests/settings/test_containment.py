"""What contains a server, and where it may connect: read from the file, and each mistake told with its place and remedy."""

import os
from pathlib import Path

import jsonschema_rs
import pytest
from ruamel.yaml import YAML

from gateway.adapters.upstream.spec import HttpSpec, Sandbox, StdioSpec
from gateway.settings import load_settings
from gateway.settings.schema import json_schema
from tests.settings.conftest import Told, Write

SERVERS = "mcpServers: {notes: {command: python}, web: {url: 'https://mcp.example.com/mcp'}}\n"
FULL = """
mcpServers: {notes: {command: python}, web: {url: 'http://intranet.example/mcp'}, other: {command: x}}
upstreams:
  notes:
    deadline_seconds: 7
    sandbox: {kind: bubblewrap, network: true, read: [docs/., /srv/x], write: [data/in], processes: 9, memory_bytes: 2097152}
  other: {sandbox: bubblewrap}
  web: {private_addresses: true}
tools: [{match: notes__write, mode: local_write, roots: [data/in, /srv/x]}]
"""


def test_a_sandbox_is_read_with_its_paths_relative_to_the_file(write: Write, tmp_path: Path) -> None:
    settings = load_settings(write(FULL))
    notes, web, other = settings.upstream_specs()
    assert isinstance(notes, StdioSpec)
    assert notes.sandbox == Sandbox(
        network=True,
        read=(f"{tmp_path}/docs", "/srv/x"),
        write=(f"{tmp_path}/data/in",),
        processes=9,
        memory_bytes=2 << 20,
    )
    assert notes.limits.deadline_seconds == 7
    assert isinstance(other, StdioSpec)
    assert other.sandbox == Sandbox(), "the kind alone stands for the defaults"
    assert isinstance(web, HttpSpec)
    assert web.private_addresses
    assert web.may_be_private
    ((_, classification),) = settings.rules()
    assert [root.path for root in classification.roots] == [f"{tmp_path}/data/in", "/srv/x"]
    assert classification.roots[0].real == os.path.realpath(tmp_path / "data/in"), "where it leads, found out once"


def test_without_a_block_there_is_no_sandbox_and_no_private_address(write: Write) -> None:
    notes, web = load_settings(write(SERVERS)).upstream_specs()
    assert isinstance(notes, StdioSpec)
    assert notes.sandbox is None
    assert isinstance(web, HttpSpec)
    assert not web.may_be_private


@pytest.mark.parametrize("text", [FULL, FULL.replace("[docs/., /srv/x]", "[/srv/x]")])
def test_the_schema_takes_both_ways_to_write_a_sandbox(text: str) -> None:
    document = YAML(typ="safe", pure=True).load(text)
    jsonschema_rs.validator_for(json_schema()).validate(document)


MISTAKES = [
    (
        "upstreams: {notes: {sandbox: firejail}}",
        '1:30: upstreams.notes.sandbox.kind: "firejail" is not a kind of sandbox. Write one of: bubblewrap',
    ),
    ("upstreams: {notes: {sandbox: {}}}", "1:30: upstreams.notes.sandbox.kind: is missing. Write one of: bubblewrap"),
    (
        "upstreams: {notes: {sandbox: true}}",
        "1:30: upstreams.notes.sandbox: true is not a block. Write keys with their values below it.",
    ),
    (
        "upstreams: {notes: {sandbox: {kind: bubblewrap, netwrk: true}}}",
        '1:49: upstreams.notes.sandbox.netwrk: unknown key. Did you mean "network"?',
    ),
    (
        "upstreams: {notes: {sandbox: {kind: bubblewrap, network: yes}}}",
        '1:58: upstreams.notes.sandbox.network: "yes" is not a flag. Write true or false.',
    ),
    (
        "upstreams: {notes: {sandbox: {kind: bubblewrap, processes: 0}}}",
        "1:60: upstreams.notes.sandbox.processes: 0 is out of range. Write a number from 1 to 65536.",
    ),
    (
        "upstreams: {notes: {sandbox: {kind: bubblewrap, read: ['~/x']}}}",
        '1:56: upstreams.notes.sandbox.read[0]: "~/x" starts with ~, which only shells understand. Write the whole path.',
    ),
    (
        "upstreams: {web: {sandbox: bubblewrap}}",
        "1:19: upstreams.web.sandbox: is for a server with command. Remove it: this one has url.",
    ),
    (
        "upstreams: {notes: {private_addresses: true}}",
        "1:21: upstreams.notes.private_addresses: is for a server with url. Remove it: this one has command.",
    ),
    *(
        (
            f"upstreams: {{notes: {{sandbox: {{kind: bubblewrap, read: ['{path}']}}}}}}",
            "1:56: upstreams.notes.sandbox.read[0]: is what a sandbox keeps from a server. Name the folders it needs.",
        )
        for path in ("/", "/proc", "/sys/kernel", "/dev/shm", "/../..")
    ),
    *(
        (
            f"upstreams: {{notes: {{sandbox: {{kind: bubblewrap, write: ['{path}']}}}}}}",
            "1:57: upstreams.notes.sandbox.write[0]: reaches the keys and the log of the gateway "
            '(".sealgate"). Name a folder beside it.',
        )
        for path in (".", ".sealgate", "./.sealgate/keys", "..", "link")
    ),
    (
        "{state: /elsewhere, upstreams: {notes: {sandbox: {kind: bubblewrap, read: [.]}}},",
        "1:76: upstreams.notes.sandbox.read[0]: holds gateway.yaml and gateway.lock, which say what is allowed. "
        "Name a folder below.",
    ),
    (
        "{upstreams: {notes: {sandbox: bubblewrap}}, tools: [{match: notes__a, mode: read_only, roots: [data]}],",
        '1:96: tools[0].roots[0]: "data" is not in the sandbox of notes. Add it there, to read or write.',
    ),
    (
        "{upstreams: {notes: {sandbox: {kind: bubblewrap, read: [data/in]}}}, "
        "tools: [{match: [notes__b, '*__a'], mode: read_only, roots: [data/in/x, data]}],",
        '1:142: tools[0].roots[1]: "data" is not in the sandbox of notes. Add it there, to read or write.',
    ),
]


@pytest.mark.parametrize(("text", "expected"), MISTAKES, ids=[text for text, _ in MISTAKES])
def test_a_mistake_is_told_with_place_and_remedy(told: Told, tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "link").symlink_to(".sealgate")
    text = f"{text} {SERVERS.strip()}}}" if text.startswith("{") else f"{text}\n{SERVERS}"
    assert told(text) == [f"gateway.yaml:{expected}"]


@pytest.mark.parametrize(
    "url",
    ["http://127.1/", "http://2130706433/", "http://0x7f.0.0.1/", "http://[::ffff:127.0.0.1]/", "http://example.com./"],
)
def test_a_servers_host_is_spelled_so_that_all_programs_read_it_alike(told: Told, url: str) -> None:
    (line,) = told(f"mcpServers: {{web: {{url: '{url}'}}}}")
    assert "spells its host in a way that not all programs read alike" in line
    assert url not in line


def test_a_hosts_form_is_what_egress_holds(write: Write) -> None:
    rules = load_settings(
        write(SERVERS + "tools: [{match: notes__a, mode: network, egress: [API.example.com, '[::1]:80']}]")
    )
    ((_, classification),) = rules.rules()
    assert classification.egress == ("api.example.com", "[::1]:80")


def test_a_name_beside_the_state_folder_may_be_given(write: Write) -> None:
    text = "upstreams: {notes: {sandbox: {kind: bubblewrap, read: [.sealgate2, notes], write: [/srv]}}}\n" + SERVERS
    (spec, _) = load_settings(write(text)).upstream_specs()
    assert isinstance(spec, StdioSpec)
    assert spec.sandbox is not None
    assert [os.path.basename(path) for path in spec.sandbox.read] == [".sealgate2", "notes"]
