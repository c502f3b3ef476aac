"""RFC 6962 section 2.1: the Merkle tree over log entries.

A `Frontier` holds the roots of the perfect subtrees that make up a tree, largest first: enough to append and to compute
the root, O(log n) in size.
"""

import hashlib
from collections.abc import Iterable

EMPTY_ROOT = hashlib.sha256(b"").digest()
"""The root of a tree without leaves."""


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256(0x00 || entry)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The growing edge of a tree of `size` leaves. Not thread-safe; owned by the log's writer."""

    def __init__(self, size: int = 0, subtrees: Iterable[bytes] = ()) -> None:
        self.size = size
        self._subtrees = list(subtrees)
        if len(self._subtrees) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} perfect subtrees")

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash."""
        node = leaf
        carry = self.size
        while carry & 1:
            node = node_hash(self._subtrees.pop(), node)
            carry >>= 1
        self._subtrees.append(node)
        self.size += 1

    def root(self) -> bytes:
        """The tree's root; SHA-256 of nothing for the empty tree."""
        if not self._subtrees:
            return EMPTY_ROOT
        root = self._subtrees[-1]
        for subtree in reversed(self._subtrees[:-1]):
            root = node_hash(subtree, root)
        return root

    def copy(self) -> "Frontier":
        """An independent copy, to roll back to."""
        return Frontier(self.size, self._subtrees)

    def to_bytes(self) -> bytes:
        """The subtree roots, concatenated."""
        return b"".join(self._subtrees)

    @classmethod
    def from_bytes(cls, size: int, data: bytes) -> "Frontier":
        """Raises ValueError where `data` does not fit `size`."""
        if len(data) % 32:
            raise ValueError("a subtree root has 32 bytes")
        return cls(size, [data[start : start + 32] for start in range(0, len(data), 32)])
