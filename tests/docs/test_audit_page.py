"""The page for auditors: every command passes on a log that a gateway just wrote, and those that should notice a change do.

None of the commands is ours: openssl, jq, Go's own packages and other people's Python packages do the checking.
"""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway.adapters.keys import FileSigner, make_keys
from gateway.core.checkpoint import read_checkpoint, sign_checkpoint
from gateway.core.commitment import disclose
from tests.docs.audited_log import OUTCOME, ROTATED, hand_over
from tests.docs.pages import ROOT, blocks

PAGE = ROOT / "docs" / "how-to" / "audit-without-us.md"
pytestmark = [pytest.mark.long, pytest.mark.go, pytest.mark.openssl, pytest.mark.timeout(240)]


def commands() -> Iterator[tuple[str, str]]:
    """Each command block with its name: the heading above it, numbered where there are several."""
    for part in re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]:
        heading = part.partition("\n")[0]
        found = re.findall(r"^```bash\n(.*?)^```$", part, re.MULTILINE | re.DOTALL)
        for number, text in enumerate(found, start=1):
            yield (heading if len(found) == 1 else f"{heading} {number}"), text


COMMANDS = dict(commands())


@pytest.fixture(scope="module")
def gateway_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("audited")


@pytest.fixture(scope="module")
def handed(gateway_folder: Path, go: str, openssl: str, jq: str) -> Path:
    """What the auditor got."""
    return hand_over(gateway_folder)


def audit(folder: Path) -> dict[str, subprocess.CompletedProcess[str]]:
    """Run all commands in the order of the page; how each ended."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {
        name: subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=folder,
            env={**os.environ, "PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        for name, text in COMMANDS.items()
    }


def failed(audited: dict[str, subprocess.CompletedProcess[str]]) -> dict[str, str]:
    """The commands that failed, and the end of what they said."""
    return {name: f"{done.stdout[-999:]}\n{done.stderr[-999:]}" for name, done in audited.items() if done.returncode}


def test_every_block_of_the_page_is_a_command() -> None:
    found = [block for block in blocks("bash", "sh", "python", "console", "") if block.page == PAGE]
    assert {block.language for block in found} == {"bash"}
    assert [block.text for block in found] == list(COMMANDS.values())


def test_every_command_passes_on_a_fresh_log(handed: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(handed, tmp_path / "copy")
    done = audit(folder)
    assert failed(done) == {}
    assert json.loads(done[VALUE].stdout.splitlines()[-1])[1:] == ["text", "30 Euro für Bob"]
    keys = [line.split() for line in (folder / "log.keys").read_text().splitlines()]
    assert [len(key) for key in keys] == [3, 2], "one was replaced, one is in force"
    assert (folder / "log" / "log.vkey").read_text().split() == keys[-1][:1]


# --- what is changed ---


@dataclass(frozen=True)
class Auditor:
    """The auditor's folder, about to be tampered with, and the state folder of the gateway, with its private keys."""

    folder: Path
    state: Path

    def bundle(self) -> list[bytes]:
        """The first 256 entries."""
        rest, found = (self.folder / "log/tile/entries/000").read_bytes(), []
        while rest:
            end = 2 + int.from_bytes(rest[:2], "big")
            found.append(rest[2:end])
            rest = rest[end:]
        return found

    def put_bundle(self, entries: list[bytes]) -> None:
        framed = b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)
        (self.folder / "log/tile/entries/000").write_bytes(framed)

    def change_entry(self, index: int, change: Callable[[dict[str, Any]], None]) -> None:
        """Change an entry's envelope, with nothing else noticing."""
        entries = self.bundle()
        envelope = json.loads(entries[index])
        change(envelope)
        entries[index] = json.dumps(envelope, separators=(",", ":")).encode()
        self.put_bundle(entries)

    def flip(self, file: str, place: int) -> None:
        """Flip the lowest bit of one byte."""
        data = bytearray((self.folder / file).read_bytes())
        data[place] ^= 1
        (self.folder / file).write_bytes(data)

    def flip_line(self, file: str, number: int) -> None:
        """Flip a bit in the base64 at the end of a line: another letter, with which it is base64 still."""
        lines = (self.folder / file).read_text().split("\n")
        head, _, encoded = lines[number].rpartition(" ")
        data = bytearray(base64.b64decode(encoded))
        data[-1] ^= 1
        lines[number] = f"{head} {base64.b64encode(data).decode()}".lstrip()
        (self.folder / file).write_text("\n".join(lines))

    def replace(self, file: str, old: str, new: str) -> None:
        text = (self.folder / file).read_text()
        assert old in text
        (self.folder / file).write_text(text.replace(old, new, 1))


def payload_byte(auditor: Auditor) -> None:
    def change(envelope: dict[str, Any]) -> None:
        payload = base64.b64decode(envelope["payload"])
        assert b'"is_error":false' in payload
        envelope["payload"] = base64.b64encode(payload.replace(b'"is_error":false', b'"is_error":true ')).decode()

    auditor.change_entry(OUTCOME, change)


def signature_bit(auditor: Auditor) -> None:
    def change(envelope: dict[str, Any]) -> None:
        raw = bytearray(base64.b64decode(envelope["signatures"][0]["sig"]))
        raw[0] ^= 1
        envelope["signatures"][0]["sig"] = base64.b64encode(raw).decode()

    auditor.change_entry(OUTCOME, change)


def rotation_without_the_new_key(auditor: Auditor) -> None:
    auditor.change_entry(ROTATED, lambda envelope: envelope["signatures"].pop())


def removed_entry(auditor: Auditor) -> None:
    entries = auditor.bundle()
    del entries[OUTCOME - 1]
    auditor.put_bundle(entries)


def swapped_entries(auditor: Auditor) -> None:
    entries = auditor.bundle()
    entries[20], entries[21] = entries[21], entries[20]
    auditor.put_bundle(entries)


def other_keys(auditor: Auditor) -> None:
    bundle = json.loads((auditor.folder / "public.json").read_text())
    make_keys(auditor.folder / "other", origin=bundle["origin"], dev=True)
    shutil.copy(auditor.folder / "other" / "public.json", auditor.folder / "public.json")


def replaced_key(auditor: Auditor) -> FileSigner:
    """The log key of the first entries. The gateway destroyed it; this is the copy that somebody made before."""
    key = load_pem_private_key((auditor.state.parent / "copied.pem").read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    return FileSigner(key)


def other_past(auditor: Auditor) -> None:
    """The right key, when it was in force, signed another past than the one that leads to the log of today: a fork."""
    kept = auditor.folder / "kept.txt"
    checkpoint = read_checkpoint(kept.read_text()).checkpoint
    kept.write_text(sign_checkpoint(replace(checkpoint, root=bytes(32)), replaced_key(auditor)))


def revoked_keys(auditor: Auditor) -> None:
    """The first keys of the log were revoked from entry 4 on, and the operator told the auditor so."""
    bundle = json.loads((auditor.folder / "public.json").read_text())
    for keys in (bundle["entry_keys"], bundle["log_keys"]):
        keys[0]["revoked"] = {"since": OUTCOME - 1, "entry": ROTATED + 2, "reason": "stolen"}
    (auditor.folder / "public.json").write_text(json.dumps(bundle))


def key_of_the_past(auditor: Auditor) -> None:
    """A thief of the log key that was replaced signs with it what stands there now."""
    note = auditor.folder / "log" / "checkpoint"
    note.write_text(sign_checkpoint(read_checkpoint(note.read_text()).checkpoint, replaced_key(auditor)))


def rolled_back(auditor: Auditor) -> None:
    """An old, whole and signed state of the log is handed over as the newest."""
    shutil.copy(auditor.folder / "log" / "checkpoint", auditor.folder / "kept.txt")
    shutil.rmtree(auditor.folder / "log")
    (auditor.folder / "early").rename(auditor.folder / "log")


def disclosed_value(auditor: Auditor) -> None:
    """A disclosure file that agrees with itself, of a value that was never committed to."""
    document = json.loads((auditor.folder / "disclosed.json").read_text())
    (item,) = [item for item in document["disclosures"] if item["name"] == "text"]
    said = json.loads(base64.urlsafe_b64decode(item["disclosure"] + "=="))
    changed = disclose("text", json.dumps("31 Euro").encode(), base64.urlsafe_b64decode(said[0] + "=="))
    item |= {"disclosure": changed.encoded, "digest": changed.digest}
    (auditor.folder / "disclosed.json").write_text(json.dumps(document))


def other_approver(auditor: Auditor) -> None:
    public_key = json.loads((auditor.folder / "approver.json").read_text())["public_key"]
    other = json.loads((auditor.folder / "public.json").read_text())["entry_keys"][0]["public_key"]
    auditor.replace("approver.json", public_key, other)


def proved_entry(auditor: Auditor) -> None:
    """The entry in the proof file says something else."""
    text = (auditor.folder / "call.tlog-proof").read_text()
    (line,) = re.findall("^extra (.*)$", text, re.MULTILINE)
    changed = base64.b64encode(base64.b64decode(line).replace(b"keyid", b"KEYID", 1)).decode()
    auditor.replace("call.tlog-proof", line, changed)


def proved_path(auditor: Auditor) -> None:
    """One hash of the inclusion proof is another."""
    lines = (auditor.folder / "call.tlog-proof").read_text().split("\n")
    auditor.replace("call.tlog-proof", lines[3], base64.b64encode(bytes(32)).decode())


WHOLE, ENTRY, EXTENDS = (f"The whole log, with Go {number}" for number in (2, 3, 4))
OPENSSL = "One entry, with openssl"
ENTRIES = "All entries, with securesystemslib"
STATEMENTS = "All statements, with in-toto-attestation"
ROOT_HASH = "The root, with pymerkle"
CHECKPOINT = "The checkpoint, with openssl"
PROOF = "One call, without the log"
VALUE = "A value that was disclosed to you"
ANSWER = "What the approver signed"
ROTATION = "A change of keys"

NOTICED: dict[str, tuple[Callable[[Auditor], None], set[str]]] = {
    "a byte of an entry": (payload_byte, {WHOLE, ENTRY, OPENSSL, ENTRIES, STATEMENTS, ROOT_HASH}),
    "a bit of an entry's signature": (signature_bit, {WHOLE, ENTRY, OPENSSL, ENTRIES, ROOT_HASH}),
    "a removed entry": (removed_entry, {WHOLE, ENTRY, OPENSSL, ENTRIES, ROOT_HASH, VALUE, ANSWER}),
    "two swapped entries": (swapped_entries, {WHOLE, ENTRIES, ROOT_HASH}),
    "a bit of an entry's hash": (lambda auditor: auditor.flip("log/tile/0/000", 32 * OUTCOME), {WHOLE, ENTRY, EXTENDS}),
    "a bit of the hash beside an entry": (
        lambda auditor: auditor.flip("log/tile/0/000", 32 * (OUTCOME - 1)),
        {WHOLE, ENTRY, EXTENDS},
    ),
    "a bit of an upper tile": (lambda auditor: auditor.flip("log/tile/1/000.p/1", 0), {WHOLE, ENTRY, EXTENDS}),
    "a bit of the checkpoint's root": (
        lambda auditor: auditor.flip_line("log/checkpoint", 2),
        {WHOLE, ENTRY, EXTENDS, ROOT_HASH, CHECKPOINT},
    ),
    "a bit of the checkpoint's signature": (
        lambda auditor: auditor.flip_line("log/checkpoint", 4),
        {WHOLE, ENTRY, EXTENDS, CHECKPOINT},
    ),
    "another deployment's keys": (
        other_keys,
        {WHOLE, ENTRY, EXTENDS, OPENSSL, ENTRIES, CHECKPOINT, PROOF, ROTATION},
    ),
    "another past": (other_past, {EXTENDS}),
    "revoked keys": (revoked_keys, {EXTENDS, OPENSSL, ENTRIES, PROOF}),
    "a key that was replaced": (key_of_the_past, {WHOLE, ENTRY, EXTENDS, CHECKPOINT}),
    "a log that was rolled back": (rolled_back, {EXTENDS, CHECKPOINT, ROTATION}),
    "the entry in a proof file": (proved_entry, {PROOF}),
    "a hash in a proof file": (proved_path, {PROOF}),
    "a disclosed value": (disclosed_value, {VALUE}),
    "another approver's key": (other_approver, {ANSWER}),
    "a rotation that the new key did not sign": (rotation_without_the_new_key, {WHOLE, ROOT_HASH, ROTATION}),
}
"""What is done to the auditor's folder, and exactly the commands that fail then."""


@pytest.mark.parametrize("what", NOTICED)
def test_the_commands_that_should_notice_do_and_no_other_fails(
    what: str, handed: Path, gateway_folder: Path, tmp_path: Path
) -> None:
    change, noticing = NOTICED[what]
    folder = shutil.copytree(handed, tmp_path / "copy")
    change(Auditor(folder, gateway_folder / ".sealgate"))
    found = failed(audit(folder))
    assert set(found) == noticing, found


def test_every_command_that_checks_something_notices_something() -> None:
    preparing = {"Cut entries out 1", "Cut entries out 2", "The whole log, with Go 1"}
    assert set().union(*(noticing for _, noticing in NOTICED.values())) == set(COMMANDS) - preparing
