"""What the anchor tests run: a real `sealgate witness` in its own process, and a log that can do what a bad log does."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.adapters.keys import FileSigner
from gateway.core.checkpoint import Checkpoint, sign_checkpoint
from gateway.core.merkle import Frontier, leaf_hash, node_hash
from gateway.core.proof import consistency_proof
from gateway.core.verifier_key import SignatureType, VerifierKey, parse_verifier_key
from gateway.core.witness import submission
from tests.running import NO_AUTHORITIES, REPOSITORY, free_port, run_cli, status_of, until


@dataclass
class Log:
    """A log in memory: `entries` are its leaves, any bytes."""

    origin: str = "log.example/one"
    entries: list[bytes] = field(default_factory=list)
    signer: FileSigner = field(default_factory=lambda: FileSigner(Ed25519PrivateKey.generate()))

    @property
    def key(self) -> VerifierKey:
        return VerifierKey(self.origin, SignatureType.ED25519, self.signer.public_key)

    def grow(self, count: int) -> "Log":
        self.entries += [b"entry %d of %s" % (len(self.entries) + n, self.origin.encode()) for n in range(count)]
        return self

    def forked(self, at: int) -> "Log":
        """The same log with other entries from place `at` on."""
        fork = [b"another %d" % place for place in range(at, len(self.entries))]
        return Log(self.origin, self.entries[:at] + fork, self.signer)

    def checkpoint(self, size: int | None = None) -> Checkpoint:
        tree = Frontier()
        leaves = self.entries if size is None else self.entries[:size]
        for leaf in leaves:
            tree.append(leaf_hash(leaf))
        return Checkpoint(self.origin, len(leaves), tree.root())

    def note(self, size: int | None = None) -> str:
        return sign_checkpoint(self.checkpoint(size), self.signer)

    def proof(self, old: int, new: int | None = None) -> list[bytes]:
        return consistency_proof(old, len(self.entries) if new is None else new, self._node)

    def request(self, old: int, new: int | None = None) -> bytes:
        """An add-checkpoint request."""
        return submission(old, self.proof(old, new) if old else [], self.note(new)).body()

    def _node(self, level: int, index: int) -> bytes:
        nodes = [leaf_hash(entry) for entry in self.entries[index << level : (index + 1) << level]]
        while len(nodes) > 1:
            nodes = [node_hash(*pair) for pair in zip(nodes[::2], nodes[1::2], strict=True)]
        return nodes[0]


@dataclass
class RunningWitness:
    """`sealgate witness serve` for these logs. Use as a context manager; it can be killed and started again."""

    folder: Path
    logs: Sequence[VerifierKey]
    name: str = "witness.example/w1"
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        if not (self.folder / "witness.pem").exists():
            sealgate("witness", "new", "--name", self.name, "--out", str(self.folder))
        (self.folder / "logs").write_text("# those we watch\n" + "".join(f"{log.text}\n" for log in self.logs))

    @property
    def key(self) -> VerifierKey:
        return parse_verifier_key((self.folder / "witness.vkey").read_text().strip())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        return (self.folder / "witness.err").read_text()

    def start(self) -> "RunningWitness":
        command = ["witness", "serve", "--dir", str(self.folder), "--log", str(self.folder / "logs")]
        with (self.folder / "witness.err").open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway", *command, "--port", str(self.port)],
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
            )
        until(self._answers, seconds=30, what="the witness's readiness")
        return self

    def add(self, body: bytes) -> httpx2.Response:
        """POST /add-checkpoint."""
        return httpx2.post(f"{self.url}/add-checkpoint", content=body, timeout=20, verify=NO_AUTHORITIES)

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout=20)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(timeout=20)

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the witness ended with {self.process.returncode}:\n{self.output}")
        return status_of(self.port, "/none/checkpoint") == 404

    def __enter__(self) -> "RunningWitness":
        return self.start()

    def __exit__(self, *exception: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop()


def sealgate(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """A `sealgate` command that needs no gateway, in this process."""
    said = run_cli(*arguments)
    if check and said.code != 0:
        raise AssertionError(f"sealgate {' '.join(arguments)} ended with {said.code}:\n{said.stderr}")
    return subprocess.CompletedProcess(arguments, said.code, said.stdout, said.stderr)


Start = Callable[..., RunningWitness]
