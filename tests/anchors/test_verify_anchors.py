"""`sealgate log verify --policy` and `--timestamp-ca`, `log anchors`: what an auditor asks for besides the log itself."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.adapters.anchors.policy import load_log_policy
from gateway.adapters.keys import FileSigner
from gateway.core.verifier_key import SignatureType, VerifierKey
from tests.anchors.authority import Authority, Reply, answering
from tests.anchors.test_rollback import Anchored
from tests.docs.pages import blocks
from tests.running import until

pytestmark = [pytest.mark.openssl, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, openssl: str) -> Iterator[Anchored]:
    """A gateway that stopped after its log was anchored and stamped, and went on a little."""
    folder = tmp_path_factory.mktemp("world")
    authority = Authority(folder / "authority", openssl).make()
    with answering(lambda query: Reply(authority.stamp(query))) as url:
        made = Anchored(folder, timestamp={"url": url, "ca": str(authority.ca)})
        with made.witnessed(), made.gateway:
            size = made.grow_and_anchor()
            until(lambda: (made.status()["stamped"] or 0) >= size, what="the stamp")
            yield made


def verify(world: Anchored, *arguments: str) -> subprocess.CompletedProcess[str]:
    return world.gateway.run("log", "verify", *arguments, check=False)


def test_a_running_gateways_log_has_quorum_and_stamp(world: Anchored) -> None:
    ca = str(world.folder / "authority" / "ca.pem")
    told = verify(world, "--policy", str(world.policy), "--timestamp-ca", ca)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "cosigned by witness.example/w0" in told.stdout
    assert "stamped: the first" in told.stdout
    document = world.gateway.json("log", "verify", "--policy", str(world.policy), "--timestamp-ca", ca)
    assert document["anchored"]["cosigned_by"] == [world.witnesses[0].key.id]
    assert document["stamped"]["size"] <= document["entries"]


def test_the_anchors_are_listed_newest_first(world: Anchored) -> None:
    found = world.gateway.json("log", "anchors")["anchors"]
    sizes = [one["size"] for one in found]
    assert sizes == sorted(sizes, reverse=True)
    assert {one["kind"] for one in found} == {"cosignature", "rfc3161"}
    assert world.witnesses[0].key.id in world.gateway.run("log", "anchors").stdout


def test_the_page_shows_how_openssl_checks_the_stamp(world: Anchored, tmp_path: Path) -> None:
    (block,) = [block for block in blocks("sh") if "openssl ts -verify" in block.text]
    export, check = block.text.strip().splitlines()
    assert export.startswith("sealgate ")
    shutil.copy2(world.folder / "authority" / "ca.pem", tmp_path / "tsa-ca.pem")
    world.gateway.run(*export.split()[1:-1], str(tmp_path / "anchors"))
    subprocess.run(["bash", "-euc", check], cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "anchors" / "stamped").write_text("log\n1\nAAAA\n")
    assert subprocess.run(["bash", "-euc", check], cwd=tmp_path, check=False, capture_output=True).returncode != 0


def test_the_exported_checkpoint_carries_the_cosignature(world: Anchored, tmp_path: Path) -> None:
    world.gateway.run("log", "anchors", "--out", str(tmp_path / "anchors"))
    note = (tmp_path / "anchors" / "cosigned").read_text()
    assert load_log_policy(world.policy).open(note).cosignatures[0].key == world.witnesses[0].key


def test_status_tells_what_is_anchored(world: Anchored) -> None:
    assert "anchors the first" in world.gateway.run("status").stderr


def test_another_witness_or_another_authority_is_not_found(world: Anchored, tmp_path: Path, openssl: str) -> None:
    stranger = VerifierKey(
        "witness.example/w0", SignatureType.COSIGNATURE, FileSigner(Ed25519PrivateKey.generate()).public_key
    )
    policy = tmp_path / "policy"
    policy.write_text(f"witness w {stranger.text}\nquorum w\n")
    told = verify(world, "--policy", str(policy))
    assert told.returncode == 6
    assert "cosigned by no witness, which is not the quorum 'w'" in told.stderr
    other = Authority(tmp_path / "other", openssl).make()
    told = verify(world, "--timestamp-ca", str(other.ca))
    assert told.returncode == 6
    assert "no checkpoint of this log has a time stamp" in told.stderr


def test_a_policy_that_asks_for_no_witness_is_not_told_as_a_cosignature(world: Anchored, tmp_path: Path) -> None:
    policy = tmp_path / "policy"
    policy.write_text("quorum none\n")
    told = verify(world, "--policy", str(policy))
    assert told.returncode == 0, told.stderr
    assert "cosigned by nobody" in told.stdout


def test_a_proof_is_held_against_the_policy(world: Anchored, tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    world.gateway.run("log", "prove", "0", "--out", str(proof))
    assert verify(world, "--proof", str(proof), "--policy", str(world.policy)).returncode == 0
    lines = proof.read_text().splitlines(keepends=True)
    proof.write_text("".join(line for line in lines if not line.startswith("— witness.example")))
    told = verify(world, "--proof", str(proof), "--policy", str(world.policy))
    assert told.returncode == 6
    assert "not the quorum" in told.stderr


def test_an_export_brings_the_cosigned_checkpoint_along(world: Anchored, tmp_path: Path) -> None:
    export = tmp_path / "log"
    world.gateway.run("log", "export", str(export))
    assert verify(world, "--dir", str(export), "--policy", str(world.policy)).returncode == 0
    (export / "cosigned").unlink()
    (export / "checkpoint").write_text(
        "".join(
            line for line in (export / "checkpoint").read_text().splitlines(keepends=True) if "witness.example" not in line
        )
    )
    assert verify(world, "--dir", str(export), "--policy", str(world.policy)).returncode == 6


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("DELETE FROM anchors", "no checkpoint of this log has a quorum"),
        ("DELETE FROM checkpoints", "no checkpoint of this log has a quorum"),
        ("UPDATE anchors SET proof = x'00'", "no checkpoint of this log has a quorum"),
        ("UPDATE anchors SET kind = 'other'", "damaged"),
        ("UPDATE anchors SET size = size + 100000 WHERE kind = 'cosignature'", "no checkpoint of this log has a quorum"),
    ],
)
def test_a_copy_whose_anchors_were_changed_does_not_verify(world: Anchored, tmp_path: Path, change: str, told: str) -> None:
    copy = tmp_path / "journal.db"
    for suffix in ("", "-wal"):
        shutil.copy2(f"{world.gateway.state}/journal.db{suffix}", f"{copy}{suffix}")
    database = apsw.Connection(str(copy))
    database.execute(change)
    database.close()
    said = verify(world, "--file", str(copy), "--policy", str(world.policy))
    assert said.returncode == 6, said.stdout
    assert told in said.stderr
    assert "Traceback" not in said.stderr
