"""Where a gateway is reached from another machine: the URL that a command is given, as it may be used with a token."""

import re
from urllib.parse import urlsplit

from gateway.core.addresses import is_local
from gateway.core.errors import ConfigError

_HINT = "Write for example https://gateway.example.com, or http://127.0.0.1:8750 for one on this machine."
_VISIBLE = re.compile("[!-~]+")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def gateway_url(text: str) -> str:
    """The URL without a slash at its end: https, or http to this machine. Raises `ConfigError`.

    A token is sent to it with every request, so it never leaves the machine in clear.
    """
    if _VISIBLE.fullmatch(text) is None:
        raise ConfigError("the gateway's URL has characters that no URL has", hint=_HINT)
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"{text!r} is no URL: {error}", hint=_HINT) from error
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigError(f"{text!r} is no URL of a gateway", hint=_HINT)
    if parts.username is not None or parts.query or parts.fragment:
        raise ConfigError("the gateway's URL has a user, a query or a fragment", hint=_HINT)
    if parts.scheme == "http" and not _is_loopback(host):
        raise ConfigError(
            f"the token would be sent to {host} in clear: http is for a gateway on this machine",
            hint="Put a proxy with TLS before the gateway, and write https.",
        )
    return text.rstrip("/")


def _is_loopback(host: str) -> bool:
    return host in _LOOPBACK or (host.startswith("127.") and is_local(host))


def bearer_token(text: str) -> str:
    """The token as it can stand in a header. Raises `ConfigError`, without quoting it."""
    token = text.strip()
    if _VISIBLE.fullmatch(token) is None:
        raise ConfigError("the token is empty, or has characters that no token has", hint="sealgate keys token makes one.")
    return token
