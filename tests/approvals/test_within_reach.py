"""`sealgate serve` does not start where its own user could approve: an agent with a shell might be that user."""

import hashlib
import subprocess
from base64 import b64encode
from pathlib import Path

import pytest

from gateway.adapters.keys.files import make_signing_key
from tests.approvals.people import Person
from tests.core.ssh import KeyFile
from tests.edge.box import Said, run_cli


def serve(folder: Path, approvers: str, monkeypatch: pytest.MonkeyPatch, home: Path | None = None) -> Said:
    """How it ends; a folder without keys of the gateway ends it, too, but later."""
    token = hashlib.sha256(b"t").hexdigest()
    (folder / "gateway.yaml").write_text(
        f'listen: {{port: 0}}\ncallers:\n  - {{principal: "user:a", token_sha256: {token}}}\napprovers:\n{approvers}'
        "log: {anchors: {policy: missing.policy}}\n"  # what ends a start that the approvers' keys do not end
    )
    monkeypatch.setenv("HOME", str(home or folder / "nobody"))
    config = str(folder / "gateway.yaml")
    if not (folder / ".sealgate" / "keys").exists():
        assert run_cli("keys", "new", "--config", config, state=folder / ".sealgate").code == 0
    return run_cli("serve", "--config", config, state=folder / ".sealgate")


def refused(said: Said, path: Path) -> bool:
    return said.code != 0 and "error[approver.within_reach]" in said.stderr and str(path) in said.stderr


def started(said: Said) -> bool:
    """It came past the approvers' keys."""
    return said.code != 0 and "missing.policy" in said.stderr


def ssh_listed(key: KeyFile) -> str:
    return f'  - {{principal: "user:alice", ssh_key: "{key.public}"}}\n'


@pytest.mark.parametrize("place", [".", ".sealgate", "keys"])
def test_a_key_file_in_the_gateways_folders_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    (tmp_path / place).mkdir(exist_ok=True)
    person = Person.make(tmp_path / place, "user:alice")
    assert refused(serve(tmp_path, person.listed(), monkeypatch), person.key)


@pytest.mark.parametrize("passphrase", ["", "secret"])
def test_an_ssh_key_in_the_gateways_folders_is_refused(
    ssh_keygen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passphrase: str
) -> None:
    key = KeyFile.make(tmp_path, "id_ed25519", passphrase=passphrase)
    assert refused(serve(tmp_path, ssh_listed(key), monkeypatch), key.path)


def test_in_the_home_folder_an_ssh_key_needs_a_passphrase(
    ssh_keygen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, folder = tmp_path / "home", tmp_path / "gateway"
    (home / ".ssh").mkdir(parents=True)
    folder.mkdir()
    bare = KeyFile.make(home / ".ssh", "id_ecdsa", "ecdsa")
    locked = KeyFile.make(home / ".ssh", "id_ed25519", passphrase="secret")
    assert refused(serve(folder, ssh_listed(bare), monkeypatch, home), bare.path)
    assert started(serve(folder, ssh_listed(locked), monkeypatch, home))


FORMS = [("ecdsa", "PEM"), ("ecdsa", "PKCS8"), ("ecdsa", "RFC4716"), ("ed25519", "RFC4716")]


@pytest.mark.parametrize(("kind", "form"), FORMS)
def test_a_key_is_found_in_any_form_and_deep_in_the_ssh_folder(
    ssh_keygen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, form: str
) -> None:
    home, folder = tmp_path / "home", tmp_path / "gateway"
    deep = home / ".ssh" / "keys" / "work" / "2026"
    deep.mkdir(parents=True)
    folder.mkdir()
    key = KeyFile.make(deep, "id", kind)
    rewrite(ssh_keygen, key, form, "")
    key.path.write_text("# mine\n" + key.path.read_text())
    assert refused(serve(folder, ssh_listed(key), monkeypatch, home), key.path)
    key.path.write_text(key.path.read_text().removeprefix("# mine\n"))
    rewrite(ssh_keygen, key, form, "secret")
    assert started(serve(folder, ssh_listed(key), monkeypatch, home))


def rewrite(ssh_keygen: str, key: KeyFile, form: str, passphrase: str) -> None:
    command = [ssh_keygen, "-q", "-p", "-m", form, "-P", "", "-N", passphrase, "-f", str(key.path)]
    subprocess.run(command, check=True, capture_output=True)


@pytest.mark.parametrize("passphrase", ["", "secret"])
def test_a_key_deep_below_the_configuration_is_refused(
    ssh_keygen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passphrase: str
) -> None:
    deep = tmp_path / "a" / "b" / "c" / "d"
    deep.mkdir(parents=True)
    key = KeyFile.make(deep, "id", "ecdsa")
    rewrite(ssh_keygen, key, "PEM", passphrase)
    assert refused(serve(tmp_path, ssh_listed(key), monkeypatch), key.path)


def test_a_bare_approver_key_in_the_ssh_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, folder = tmp_path / "home", tmp_path / "gateway"
    (home / ".ssh").mkdir(parents=True)
    folder.mkdir()
    path = home / ".ssh" / "approver.pem"
    public = b64encode(make_signing_key(path).public_key).decode()
    listed = f'  - {{principal: "user:alice", public_key: "{public}"}}\n'
    assert refused(serve(folder, listed, monkeypatch, home), path)


def test_keys_elsewhere_and_keys_of_others_are_nothing_to_say(
    ssh_keygen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, elsewhere = tmp_path / "gateway", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    KeyFile.make(folder, "deploy_key")
    (folder / "broken.pem").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n")
    (folder / "also.pem").write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    person, key = Person.make(elsewhere, "user:bob"), KeyFile.make(elsewhere, "id")
    assert started(serve(folder, person.listed() + ssh_listed(key), monkeypatch))
