"""The log level of each handshake session (`logging/setLevel`). 2026-07-28 clients say theirs with each request."""

from weakref import WeakKeyDictionary

from mcp.server.connection import Connection

from gateway.edge.meta import Context, is_modern


class Levels:
    """Owned by the event loop. A session that is gone is forgotten."""

    def __init__(self) -> None:
        self._levels: WeakKeyDictionary[Connection, str] = WeakKeyDictionary()

    def set(self, context: Context, level: str) -> None:
        """The least level that the client wants from now on."""
        self._levels[connection_of(context)] = level

    def of(self, context: Context) -> str | None:
        """What it wants; None: it never said."""
        return None if is_modern(context) else self._levels.get(connection_of(context))


def connection_of(context: Context) -> Connection:
    """The session that a request came in: the SDK has it, and no public name for it."""
    return context.session._connection  # noqa: SLF001
