"""Inclusion and consistency proofs of the log's Merkle tree (RFC 6962 section 2.1), made and checked.

A proof is a list of 32-byte hashes, in the order of the RFC: from the leaf upwards. It is made from the roots of perfect
subtrees, which never change once they exist; wherever they come from, O(log n) of them are asked for.
"""

from collections.abc import Callable, Iterator, Sequence

from gateway.core.merkle import EMPTY_ROOT, node_hash

Node = Callable[[int, int], bytes]
"""The root of the perfect subtree of 2**level leaves that starts at leaf index * 2**level: Node(level, index)."""


def tree_root(size: int, node: Node) -> bytes:
    """The root of the first `size` leaves."""
    return _root(0, size, node) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, node: Node) -> list[bytes]:
    """That leaf `index` is in the tree of `size` leaves: PATH(m, D[n]) of the RFC.

    Raises:
        ValueError: there is no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"there is no leaf {index} in a tree of {size}")
    proof = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _left_leaves(end - start)
        if index < middle:
            proof.append(_root(middle, end, node))
            end = middle
        else:
            proof.append(_root(start, middle, node))
            start = middle
    return proof[::-1]


def consistency_proof(old: int, new: int, node: Node) -> list[bytes]:
    """That the tree of `new` leaves begins with the tree of `old` leaves: PROOF(m, D[n]) of the RFC.

    Empty for equal sizes and for `old` zero, where there is nothing to prove.

    Raises:
        ValueError: `new` is smaller than `old`.
    """
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {new} leaves cannot begin with one of {old}")
    if old in (0, new):
        return []
    proof = []
    start, end = 0, new
    while end > old:
        middle = start + _left_leaves(end - start)
        if old <= middle:
            proof.append(_root(middle, end, node))
            end = middle
        else:
            proof.append(_root(start, middle, node))
            start = middle
    if start > 0:  # else the old tree is itself a node of the new one, and its root is known to who checks
        proof.append(_root(start, end, node))
    return proof[::-1]


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `proof` shows that `leaf` (a leaf hash) is number `index` of the tree of `size` leaves with this root.

    Source: RFC 9162 section 2.1.3.2, whose variable names these are.
    """
    if not 0 <= index < size or not _are_hashes(leaf, root, *proof):
        return False
    fn, sn = index, size - 1
    r = leaf
    for p in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node_hash(r, p)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and r == root


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether `proof` shows that the tree of `new` leaves begins with the tree of `old` leaves, given both roots.

    Every tree begins with the empty one: there the proof is empty and the old root that of nothing.
    Source: RFC 9162 section 2.1.4.2, whose variable names these are.
    """
    if not 0 <= old <= new or not _are_hashes(old_root, new_root, *proof):
        return False
    if old == 0:
        return old_root == EMPTY_ROOT and not proof and (new > 0 or new_root == EMPTY_ROOT)
    if old == new:
        return old_root == new_root and not proof
    path = iter(proof if old & (old - 1) else (old_root, *proof))
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    first = next(path, None)
    if first is None:
        return False
    fr = sr = first
    for c in path:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node_hash(c, fr), node_hash(c, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node_hash(sr, c)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and fr == old_root and sr == new_root


def _root(start: int, end: int, node: Node) -> bytes:
    """The root over the leaves [start, end), where `start` is a multiple of the largest perfect subtree in them."""
    parts = list(_perfect(start, end))
    level, index = parts[-1]
    root = node(level, index)
    for level, index in reversed(parts[:-1]):
        root = node_hash(node(level, index), root)
    return root


def _perfect(start: int, end: int) -> Iterator[tuple[int, int]]:
    """The perfect subtrees of the leaves [start, end), left to right, as (level, index)."""
    while start < end:
        level = (end - start).bit_length() - 1
        yield level, start >> level
        start += 1 << level


def _left_leaves(size: int) -> int:
    """The largest power of two smaller than `size`: how many leaves the left subtree has."""
    return 1 << ((size - 1).bit_length() - 1)


def _are_hashes(*values: bytes) -> bool:
    return all(len(value) == 32 for value in values)
