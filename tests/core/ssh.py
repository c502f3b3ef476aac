"""SSH keys and signatures for tests: made by the real ssh-keygen, and by a hardware key that is only a program."""

import hashlib
import struct
import subprocess
from base64 import b64decode, b64encode
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

NAMESPACE = "sealgate-approval"


@dataclass(frozen=True)
class KeyFile:
    """A key pair that ssh-keygen made."""

    path: Path

    @property
    def public(self) -> str:
        return self.path.with_name(self.path.name + ".pub").read_text().strip()

    @classmethod
    def make(cls, folder: Path, name: str, kind: str = "ed25519", passphrase: str = "") -> "KeyFile":
        path = folder / name
        command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", f"{name}@test", "-f", str(path)]
        subprocess.run(command, check=True, capture_output=True)
        return cls(path)

    def sign(self, message: bytes, *more: str, namespace: str = NAMESPACE) -> str:
        """`ssh-keygen -Y sign`."""
        command = ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", str(self.path), *more]
        return subprocess.run(command, input=message, check=True, capture_output=True).stdout.decode()


def ssh_keygen_verifies(folder: Path, public: str, armored: str, message: bytes, *, namespace: str = NAMESPACE) -> bool:
    """What `ssh-keygen -Y verify` says."""
    allowed, signature = folder / "allowed_signers", folder / "signature"
    allowed.write_text(f"user:alice {public}\n")
    signature.write_text(armored)
    command = ["ssh-keygen", "-Y", "verify", "-n", namespace, "-I", "user:alice", "-f", str(allowed), "-s", str(signature)]
    return subprocess.run(command, input=message, capture_output=True, check=False).returncode == 0


def string(data: bytes) -> bytes:
    """SSH's string."""
    return struct.pack(">I", len(data)) + data


def mpint(number: int) -> bytes:
    return string(number.to_bytes(number.bit_length() // 8 + 1, "big"))


def armoured(blob: bytes) -> str:
    text = b64encode(blob).decode()
    lines = [text[start : start + 70] for start in range(0, len(text), 70)]
    return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""])


def bare(armored: str) -> bytes:
    """The bytes in the armour."""
    return b64decode("".join(armored.strip().split("\n")[1:-1]))


def signature_blob(
    key: bytes, raw: bytes, *, namespace: str = NAMESPACE, reserved: bytes = b"", hash_name: bytes = b"sha512"
) -> bytes:
    """PROTOCOL.sshsig section 2."""
    parts = (key, namespace.encode(), reserved, hash_name, raw)
    return b"SSHSIG" + struct.pack(">I", 1) + b"".join(map(string, parts))


def covered(message: bytes, *, namespace: str = NAMESPACE, reserved: bytes = b"", hash_name: bytes = b"sha512") -> bytes:
    """PROTOCOL.sshsig section 3: what is signed."""
    hashed = hashlib.new(hash_name.decode(), message).digest()
    return b"SSHSIG" + b"".join(map(string, (namespace.encode(), reserved, hash_name, hashed)))


class HardwareKey:
    """A FIDO key as OpenSSH's PROTOCOL.u2f describes it, without the hardware."""

    def __init__(self, kind: str, application: bytes = b"ssh:") -> None:
        self.kind = {"ed25519": b"sk-ssh-ed25519@openssh.com", "ecdsa": b"sk-ecdsa-sha2-nistp256@openssh.com"}[kind]
        self.application = application
        self._key: Ed25519PrivateKey | EllipticCurvePrivateKey
        if kind == "ed25519":
            self._key = Ed25519PrivateKey.generate()
            public = string(self._key.public_key().public_bytes_raw())
        else:
            self._key = generate_private_key(SECP256R1())
            point = self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
            public = string(b"nistp256") + string(point)
        self.blob = string(self.kind) + public + string(application)

    @property
    def public(self) -> str:
        return f"{self.kind.decode()} {b64encode(self.blob).decode()} hardware"

    def sign(
        self,
        message: bytes,
        *,
        flags: int = 1,
        told_flags: int | None = None,
        reserved: bytes = b"",
        hash_name: bytes = b"sha512",
    ) -> str:
        """`flags`: 1 where somebody touched it. `told_flags`: what it says, where that is something else."""
        data = covered(message, reserved=reserved, hash_name=hash_name)
        seen = struct.pack(">BI", flags, 7)
        hashed = hashlib.sha256(self.application).digest(), hashlib.sha256(data).digest()
        data = hashed[0] + seen + hashed[1]
        if isinstance(self._key, Ed25519PrivateKey):
            signature = self._key.sign(data)
        else:
            r, s = decode_dss_signature(self._key.sign(data, ECDSA(SHA256())))
            signature = mpint(r) + mpint(s)
        if told_flags is not None:
            seen = struct.pack(">BI", told_flags, 7)
        raw = string(self.kind) + string(signature) + seen
        return armoured(signature_blob(self.blob, raw, reserved=reserved, hash_name=hash_name))
