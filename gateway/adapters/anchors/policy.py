"""A log policy from a file, and whether a gateway can anchor its log by it."""

from pathlib import Path
from urllib.parse import urlsplit

from gateway.core.errors import ConfigError
from gateway.core.log_policy import NONE, LogPolicy, PolicyFault, parse_log_policy
from gateway.core.verifier_key import VerifierKey

MAX_BYTES = 1024 * 1024
_SEE = "The form is C2SP tlog-policy: see docs/how-to/anchor-the-log.md."


def load_log_policy(path: Path) -> LogPolicy:
    """Raises `ConfigError` with the line that is wrong."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise PolicyFault("line 1: the file is too large")
        return parse_log_policy(data)
    except OSError as error:
        raise ConfigError(f"cannot read the log policy {path}: {error.strerror}", hint=_SEE) from error
    except PolicyFault as error:
        raise ConfigError(f"{path}: {error}", hint=_SEE) from error


def check_anchors(policy: LogPolicy, path: Path, log: VerifierKey) -> None:
    """Refuse a policy by which the log `log` can never be anchored. Raises `ConfigError`."""
    if policy.quorum == NONE:
        raise ConfigError(f"{path}: by quorum none nobody witnesses the log", hint="Name a witness or a group. " + _SEE)
    if policy.logs and log not in policy.logs:
        raise ConfigError(f"{path}: no log line has this log's key", hint=f"Write: log {log.text}")
    for witness in policy.witnesses:
        if witness.url is not None and not _usable(witness.url):
            raise ConfigError(f"{path}: the address of the witness {witness.name} is no http:// or https:// address")
    if not policy.met_by(frozenset(witness.name for witness in policy.witnesses if witness.url is not None)):
        raise ConfigError(
            f"{path}: the witnesses with an address can never be the quorum {policy.quorum!r}",
            hint="Write each witness's address after its key: witness NAME VKEY http://HOST:PORT",
        )


def _usable(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
