"""SSH signatures count as `ssh-keygen -Y verify` counts them: for this key, this purpose, these bytes."""

import random
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.core.sshsig import BadSshKey, BadSshSignature, SshKey, read_ssh_key, verify
from tests.core.ssh import (
    NAMESPACE,
    HardwareKey,
    KeyFile,
    armoured,
    bare,
    ssh_keygen_verifies,
)

MESSAGE = b'{"answer":"approve"}'


def counts(armored: str, key: SshKey, message: bytes = MESSAGE) -> bool:
    try:
        verify(armored, key, NAMESPACE, message)
    except BadSshSignature:
        return False
    return True


@pytest.fixture(scope="module", params=["ed25519", "ecdsa"])
def key_file(request: pytest.FixtureRequest, ssh_keygen: str, tmp_path_factory: pytest.TempPathFactory) -> KeyFile:
    return KeyFile.make(tmp_path_factory.mktemp("keys"), "id", request.param)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_what_ssh_keygen_signs_counts(key_file: KeyFile, algorithm: str) -> None:
    armored = key_file.sign(MESSAGE, "-O", f"hashalg={algorithm}")
    assert counts(armored, read_ssh_key(key_file.public))
    assert counts(armored.replace("\n", "\r\n"), read_ssh_key(key_file.public))


def test_the_fingerprint_is_that_of_ssh_keygen(key_file: KeyFile, tmp_path: Path) -> None:
    told = subprocess.run(["ssh-keygen", "-lf", str(key_file.path)], capture_output=True, text=True, check=True).stdout
    assert told.split()[1] == read_ssh_key(key_file.public).fingerprint


def test_another_message_key_or_purpose_does_not_count(key_file: KeyFile, tmp_path: Path) -> None:
    key, other = read_ssh_key(key_file.public), KeyFile.make(tmp_path, "other")
    assert not counts(key_file.sign(MESSAGE), key, MESSAGE + b" ")
    assert not counts(key_file.sign(MESSAGE), read_ssh_key(other.public))
    assert not counts(other.sign(MESSAGE), key)
    for namespace in ("git", "file", "sealgate-approval2", "sealgate"):
        assert not counts(key_file.sign(MESSAGE, namespace=namespace), key)


def test_every_changed_byte_makes_it_count_for_nothing_as_for_ssh_keygen(key_file: KeyFile, tmp_path: Path) -> None:
    key, blob = read_ssh_key(key_file.public), bare(key_file.sign(MESSAGE))
    rng = random.Random(4)
    asked = set(rng.sample(range(len(blob)), 12))
    for place in range(len(blob)):
        changed = bytearray(blob)
        changed[place] ^= 1 << rng.randrange(8)
        assert not counts(armoured(bytes(changed)), key), f"byte {place}"
        if place in asked:  # a process each
            assert not ssh_keygen_verifies(tmp_path, key_file.public, armoured(bytes(changed)), MESSAGE), f"byte {place}"


def test_what_is_cut_off_extended_or_spelled_otherwise_does_not_count(key_file: KeyFile) -> None:
    key, armored = read_ssh_key(key_file.public), key_file.sign(MESSAGE)
    blob = bare(armored)
    assert counts(armoured(blob), key)
    assert not any(counts(armoured(blob[:size]), key) for size in range(len(blob)))
    assert not counts(armoured(blob + b"\0"), key)
    begin, *lines, end = armored.strip().split("\n")
    for text in (
        "",
        begin,
        "\n".join(lines),
        "\n".join([begin, *lines]),
        "\n".join([begin, *lines, "!", end]),
        "\n".join([begin, " " + lines[0], *lines[1:], end]),
        "\n".join([begin.replace("SSH", "PGP"), *lines, end]),
        armored + armored,
        armored + "x",
    ):
        assert not counts(text, key)


def test_a_reserved_field_with_something_in_it_or_another_hash_does_not_count() -> None:
    hardware = HardwareKey("ed25519")
    key = read_ssh_key(hardware.public)
    assert counts(hardware.sign(MESSAGE, hash_name=b"sha256"), key)
    assert not counts(hardware.sign(MESSAGE, reserved=b"x"), key)
    for weak in (b"sha1", b"md5", b"sha384"):
        assert not counts(hardware.sign(MESSAGE, hash_name=weak), key)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_a_hardware_keys_signature_counts_here_and_for_ssh_keygen(ssh_keygen: str, tmp_path: Path, kind: str) -> None:
    hardware = HardwareKey(kind)
    key, armored = read_ssh_key(hardware.public), hardware.sign(MESSAGE)
    assert key.on_hardware
    assert counts(armored, key)
    assert ssh_keygen_verifies(tmp_path, hardware.public, armored, MESSAGE)
    assert not counts(armored, read_ssh_key(HardwareKey(kind).public))
    assert not counts(armored, key, MESSAGE + b" ")


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_a_hardware_key_that_nobody_touched_approves_nothing(kind: str) -> None:
    hardware = HardwareKey(kind)
    key = read_ssh_key(hardware.public)
    assert not counts(hardware.sign(MESSAGE, flags=0), key)
    assert not counts(hardware.sign(MESSAGE, flags=4), key)
    assert not counts(hardware.sign(MESSAGE, flags=0, told_flags=1), key)
    assert counts(hardware.sign(MESSAGE, flags=5), key)


def test_a_hardware_key_for_another_application_is_another_key() -> None:
    ours, theirs = HardwareKey("ed25519"), HardwareKey("ed25519", b"ssh:other")
    theirs.blob = ours.blob
    assert not counts(theirs.sign(MESSAGE), read_ssh_key(ours.public))


def _truncated(line: str) -> str:
    kind, blob, _ = line.split()
    return f"{kind} {blob[:-8]} x"


SPOILED: list[Callable[[str], str]] = [
    lambda line: "",
    lambda line: line.split()[1],
    lambda line: line.replace("ssh-ed25519 ", "ssh-rsa "),
    lambda line: line.replace("ssh-ed25519 ", "sk-ssh-ed25519@openssh.com "),
    _truncated,
    lambda line: line + "\nssh-ed25519 AAAA second",
    lambda line: line.replace("AAAA", "AAA!", 1),
    lambda line: "ssh-ed25519 " + "A" * 68,
]


@pytest.mark.parametrize("spoil", SPOILED)
def test_what_is_no_key_is_refused(ssh_keygen: str, tmp_path: Path, spoil: Callable[[str], str]) -> None:
    with pytest.raises(BadSshKey):
        read_ssh_key(spoil(KeyFile.make(tmp_path, "id").public))


def test_keys_whose_strength_one_must_choose_are_refused(ssh_keygen: str, tmp_path: Path) -> None:
    with pytest.raises(BadSshKey, match="types: ecdsa-sha2-nistp256, sk-ecdsa"):
        read_ssh_key(KeyFile.make(tmp_path, "rsa", "rsa").public)


def test_a_length_beyond_the_end_is_no_signature() -> None:
    key = read_ssh_key(HardwareKey("ed25519").public)
    for blob in (b"", b"SSHSIG", b"SSHSIG" + struct.pack(">II", 1, 2**32 - 1), b"SSHSIG" + struct.pack(">I", 2)):
        assert not counts(armoured(blob), key)
