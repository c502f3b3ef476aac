"""Callers on a Unix socket, by the user and group that the kernel says a connection is of (`SO_PEERCRED`).

The socket may be opened by anybody who reaches its folder; who is not named in the configuration is refused. A token that is
sent over it means nothing.
"""

import asyncio
import os
import socket
import stat
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.types import ASGIApp

from gateway.adapters.state import LONGEST_SOCKET_PATH
from gateway.core.errors import ConfigError
from gateway.edge.auth import Caller
from gateway.edge.connections import BoundedHttp, bounded, room_for_files
from gateway.edge.daemon import served

PEER = "sealgate.peer"
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


@dataclass(frozen=True, slots=True)
class Peer:
    """Whose process opened the connection, with its effective ids."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class PeerRule:
    """Who a process of this user, this group, or both is. None: of any."""

    uid: int | None
    gid: int | None
    caller: Caller

    def fits(self, peer: Peer) -> bool:
        return self.uid in (None, peer.uid) and self.gid in (None, peer.gid)


class PeerTable:
    """The first rule that fits counts."""

    def __init__(self, rules: tuple[PeerRule, ...] = ()) -> None:
        self._rules = rules

    def caller(self, peer: Peer) -> Caller | None:
        return next((rule.caller for rule in self._rules if rule.fits(peer)), None)


def peer_of(request: Request) -> Peer | None:
    """Who is on the other side of a Unix socket; None for a request that came over TCP."""
    peer = request.scope.get("state", {}).get(PEER)
    return peer if isinstance(peer, Peer) else None


class _PeerProtocol(BoundedHttp):
    """HTTP on a connection whose peer the kernel names. Only the server writes the state of a scope, no client."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        raw = transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        _, uid, gid = _CREDENTIALS.unpack(raw)
        self.app_state = {**self.app_state, PEER: Peer(uid, gid)}


@asynccontextmanager
async def peer_surface(app: ASGIApp, path: Path) -> AsyncIterator[None]:
    """Listen on a Unix socket at `path`; `app` is started already. Raises `ConfigError` where that cannot be."""
    _clear(path)
    try:
        async with served(app, bounded(room_for_files(), protocol=_PeerProtocol), uds=str(path), lifespan="off"):
            yield
    finally:
        _clear(path)


def _clear(path: Path) -> None:
    """Remove the socket of a gateway that ended or was killed: one that runs owns the state folder."""
    longest = len(os.fsencode(path))
    if longest > LONGEST_SOCKET_PATH:
        raise ConfigError(f"listen.unix is too long for a socket: {longest} of {LONGEST_SOCKET_PATH} bytes")
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ConfigError(f"{path} is no socket", hint="Give listen.unix a path of its own.")
        path.unlink()
    except FileNotFoundError:
        if not os.access(path.parent, os.W_OK | os.X_OK):
            hint = "Make it, writable for the gateway's user."
            raise ConfigError(f"the folder of listen.unix, {path.parent}, cannot be used", hint=hint) from None
    except OSError as error:
        raise ConfigError(f"cannot listen on {path}: {error.strerror}", hint="See listen.unix.") from error
