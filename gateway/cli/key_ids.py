"""Key ids as people write them: the beginning is enough."""

from gateway.core.errors import KeyFault
from gateway.core.trust import KeyRole, TrustedKeys

_SHORTEST = 8


def whole_keyid(beginning: str, bundle: TrustedKeys) -> str:
    """The one key id of the bundle that begins so. Raises `KeyFault`."""
    found = [known for role in KeyRole for known in bundle.of(role) if known.startswith(beginning)]
    if len(found) != 1 or len(beginning) < _SHORTEST:
        raise KeyFault(
            f"{beginning!r} is the beginning of {len(found)} key ids; it must be that of one, and at least"
            f" {_SHORTEST} characters long",
            hint="sealgate keys list shows the key ids.",
        )
    return found[0]
