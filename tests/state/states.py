"""State folders made from a full log, and the `sealgate` command on them."""

import hashlib
import json
import shutil
from base64 import b64decode
from pathlib import Path
from typing import Any

from gateway.adapters.store.sqlite.reader import SqliteLog
from tests.running import Said, run_cli
from tests.store.full_log import Original

CONFIG = (
    "mcpServers: {{count: {{url: {url}}}}}\n"
    "upstreams: {{count: {{deadline_seconds: 20}}}}\n"
    "tools: [{{match: count__*, mode: local_write, trust: trusted, owner: test}}]\n"
)
"""With the URL of the counting upstream."""


def state_of(original: Original, folder: Path) -> Path:
    """A state folder with the full log's journal, vault and keys."""
    folder.mkdir(mode=0o700)
    for name in ("journal.db", "vault.db"):
        shutil.copy(original.path.with_name(name), folder / name)
    shutil.copytree(original.public.parent, folder / "keys")
    return folder


def sealgate(state: Path, *arguments: str, stdin: str = "") -> Said:
    """Run a command on this state folder, without a gateway.yaml."""
    return run_cli(*arguments, state=state, stdin=stdin)


def predicates(journal: Path) -> list[dict[str, Any]]:
    """What the entries of a journal say, unverified, in their order."""
    log = SqliteLog(journal)
    try:
        payloads = [b64decode(json.loads(stored.entry)["payload"]) for stored in log.entries()]
    finally:
        log.close()
    return [json.loads(payload)["predicate"] for payload in payloads]


def refit(backup: Path) -> None:
    """Make the manifest fit the files as they are now."""
    manifest = json.loads((backup / "manifest.json").read_text())
    for name in manifest["files"]:
        data = (backup / name).read_bytes()
        manifest["files"][name] = [len(data), hashlib.sha256(data).hexdigest()]
    (backup / "manifest.json").write_text(json.dumps(manifest))
