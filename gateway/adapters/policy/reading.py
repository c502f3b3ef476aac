"""Policies are read in a process of their own: no file, however it is made, stalls the gateway's loop or ends its watch.

Unpacking, parsing and hashing hold Python's lock for as long as they take, and what they meet is hostile until it was
verified. So a running gateway reads nothing of it. The process writes one line of JSON, what was read or why it was not, and
after it the policy data and the bundle file as they are.

It has so much memory and so many seconds of a processor, set by itself before it opens a file. Where it cannot set them, it
reads nothing. macOS bounds no process's memory; there, only the size of what is read does.
"""

import os
import resource
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import orjson

from gateway.adapters.policy.bundle import PolicyBundle, load_bundle
from gateway.adapters.policy.manifest import Manifest
from gateway.adapters.policy.process import INHERITED, START_HINT
from gateway.adapters.policy.signature import load_verification_key
from gateway.core.errors import ConfigError

READ_SECONDS = 20
MEMORY_BYTES = 2 << 30
NICENESS = 10
_SOURCE = Path(__file__).resolve().parents[3]


def read_apart(path: Path, key_path: Path | None = None, *, memory_bytes: int = MEMORY_BYTES) -> PolicyBundle:
    """As `load_bundle`, from another thread than the loop's. Raises `ConfigError`, whatever the files hold."""
    command = [sys.executable, "-P", "-m", __name__, str(memory_bytes), str(path)]
    command += [] if key_path is None else [str(key_path)]
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
    environment["PYTHONPATH"] = os.pathsep.join((str(_SOURCE), *filter(None, (environment.get("PYTHONPATH"),))))
    try:
        done = subprocess.run(  # noqa: S603 - this very interpreter and module
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=READ_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _unread(path, f"takes longer than {READ_SECONDS} s to read") from error
    except OSError as error:
        raise ConfigError(f"policies cannot be read: {error.strerror}", hint=START_HINT) from error
    line, _, rest = done.stdout.partition(b"\n")
    if done.returncode != 0 or not line:
        raise _unread(path, f"cannot be read: the process that read it ended with {done.returncode}")
    told = orjson.loads(line)
    if "error" in told:
        raise ConfigError(told["error"]["message"], hint=told["error"]["hint"], code=told["error"]["code"])
    data = told["data_bytes"]
    manifest = Manifest(told["manifest"]["revision"], tuple(told["manifest"]["roots"]))
    archive = rest[data:] if told["archived"] else None
    return PolicyBundle(
        told["modules"], told["tests"], rest[:data], told["revision"], manifest, archive, signed=told["signed"]
    )


def _unread(path: Path, why: str) -> ConfigError:
    return ConfigError(f"{path}: {why}", hint="Policies must be small; try: sealgate policy check.")


def _read(path: Path, key_path: Path | None) -> bytes:
    """What is written to the gateway."""
    try:
        bundle = load_bundle(path, None if key_path is None else load_verification_key(key_path))
    except ConfigError as error:
        return orjson.dumps({"error": {"message": error.message, "hint": error.hint, "code": error.code}}) + b"\n"
    told = {
        "modules": dict(bundle.modules),
        "tests": dict(bundle.tests),
        "data_bytes": len(bundle.written_data),
        "revision": bundle.revision,
        "manifest": asdict(bundle.manifest),
        "archived": bundle.archive is not None,
        "signed": bundle.signed,
    }
    return orjson.dumps(told) + b"\n" + bundle.written_data + (bundle.archive or b"")


def _bound(what: int, most: int) -> None:
    """At most so much, and never more than was permitted already. Raises `OSError`, `ValueError`."""
    _, hard = resource.getrlimit(what)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (most, most))


def _main(memory_bytes: str, path: str, key_path: str | None = None) -> None:
    os.nice(NICENESS)
    if sys.platform != "darwin":
        _bound(resource.RLIMIT_AS, int(memory_bytes))
    _bound(resource.RLIMIT_CPU, READ_SECONDS)  # also when the gateway is gone
    _bound(resource.RLIMIT_CORE, 0)
    sys.stdout.buffer.write(_read(Path(path), None if key_path is None else Path(key_path)))


if __name__ == "__main__":
    _main(*sys.argv[1:])
