"""The changes of waiting calls that were made and not signed yet, kept for whoever asked for them.

Each holds the arguments of a call, at most 1 MiB, and to ask for one takes no approver's key. So whoever asks has places of
their own: who fills them loses their own offers, and nobody else's.
"""

from gateway.core.offer import Offer

MOST = 32
"""Of one asker. The oldest gives way."""
MOST_OF_A_REQUEST = 4
"""Of one asker for one request: who makes one change again and again keeps the offers of others. The oldest gives way."""


class Offers:
    """In memory, and not for ever: nothing was asked yet."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[str, Offer]] = {}  # by the id of what would be asked, oldest first

    def keep(self, offer: Offer, asker: str) -> None:
        """Let it be what `modify` is an answer with."""
        own = [other for by, other in self._kept.values() if by == asker]
        same = [other for other in own if other.asked.approval_id == offer.asked.approval_id]
        if len(same) >= MOST_OF_A_REQUEST:
            self.forget(same[0].request.approval_id)
        elif len(own) >= MOST:
            self.forget(own[0].request.approval_id)
        self._kept[offer.request.approval_id] = (asker, offer)

    def find(self, approval_id: str) -> Offer | None:
        """The offer to ask the request of this id."""
        found = self._kept.get(approval_id)
        return None if found is None else found[1]

    def forget(self, approval_id: str) -> None:
        """It is asked now, or is not to be."""
        self._kept.pop(approval_id, None)

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()
