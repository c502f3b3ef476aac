"""Proofs are those of RFC 6962, as pymerkle and the RFC's own recursion make them, and prove nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from gateway.core.merkle import EMPTY_ROOT, Frontier, leaf_hash, node_hash
from gateway.core.proof import (
    Node,
    consistency_proof,
    inclusion_proof,
    tree_root,
    verify_consistency,
    verify_inclusion,
)

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "merkle" / "rfc6962.json").read_text())
LEAVES = [leaf_hash(f"entry {number}".encode()) for number in range(70)]
HASH = st.binary(min_size=32, max_size=32)
SIZE = st.integers(1, len(LEAVES))


def node(level: int, index: int) -> bytes:
    if level == 0:
        return LEAVES[index]
    return node_hash(node(level - 1, 2 * index), node(level - 1, 2 * index + 1))


def root(size: int) -> bytes:
    frontier = Frontier()
    for leaf in LEAVES[:size]:
        frontier.append(leaf)
    return frontier.root()


@pytest.fixture(scope="module")
def oracle() -> InmemoryTree:
    tree = InmemoryTree(algorithm="sha256")
    for number in range(len(LEAVES)):
        tree.append_entry(f"entry {number}".encode())
    return tree


def published(level: int, index: int) -> bytes:
    return bytes.fromhex(VECTORS["nodes"][level][index])


def hashes(texts: list[str]) -> list[bytes]:
    return [bytes.fromhex(text) for text in texts]


def test_the_published_tree_has_these_leaves_and_roots() -> None:
    leaves = [leaf_hash(leaf) for leaf in hashes(VECTORS["leaves"])]
    assert leaves == hashes(VECTORS["nodes"][0])
    assert [tree_root(size, published) for size in range(1, 9)] == hashes(VECTORS["roots"])


@pytest.mark.parametrize("case", VECTORS["inclusion"], ids=lambda case: f"{case['index']}-of-{case['size']}")
def test_the_published_inclusion_proofs(case: dict[str, Any]) -> None:
    index, size, proof = case["index"], case["size"], hashes(case["proof"])
    leaf, top = published(0, index), bytes.fromhex(VECTORS["roots"][size - 1])
    assert inclusion_proof(index, size, published) == proof
    assert verify_inclusion(index, size, leaf, proof, top)
    assert not verify_inclusion(index + 1, size, leaf, proof, top)
    assert not verify_inclusion(index, size, leaf, [*proof, leaf], top)
    assert size == 1 or not verify_inclusion(index, size, top, proof, leaf)


@pytest.mark.parametrize("case", VECTORS["consistency"], ids=lambda case: f"{case['old']}-to-{case['new']}")
def test_the_published_consistency_proofs(case: dict[str, Any]) -> None:
    old, new, proof = case["old"], case["new"], hashes(case["proof"])
    before, after = (bytes.fromhex(VECTORS["roots"][size - 1]) for size in (old, new))
    assert consistency_proof(old, new, published) == proof
    assert verify_consistency(old, new, before, after, proof)
    assert not verify_consistency(old, new, before, after, [*proof, before])
    assert old == new or not verify_consistency(old, new, after, before, proof)


def test_every_inclusion_proof_is_that_of_pymerkle_and_holds(oracle: InmemoryTree) -> None:
    for size in range(1, len(LEAVES) + 1):
        for index in range(size):
            proof = inclusion_proof(index, size, node)
            assert proof == oracle.prove_inclusion(index + 1, size).path[1:], (index, size)
            assert verify_inclusion(index, size, LEAVES[index], proof, root(size)), (index, size)


def test_every_consistency_proof_is_that_of_the_rfc_and_holds() -> None:
    for new in range(1, len(LEAVES) + 1):
        for old in range(1, new + 1):
            proof = consistency_proof(old, new, node)
            assert proof == subproof(old, LEAVES[:new], whole=True), (old, new)
            assert verify_consistency(old, new, root(old), root(new), proof), (old, new)


def subproof(m: int, d: list[bytes], *, whole: bool) -> list[bytes]:
    """RFC 6962 section 2.1.2, word for word: SUBPROOF(m, D[n], b)."""
    n = len(d)
    if m == n:
        return [] if whole else [mth(d)]
    k = 2 ** ((n - 1).bit_length() - 1)
    if m <= k:
        return [*subproof(m, d[:k], whole=whole), mth(d[k:])]
    return [*subproof(m - k, d[k:], whole=False), mth(d[:k])]


def mth(d: list[bytes]) -> bytes:
    """RFC 6962 section 2.1 over leaf hashes: MTH(D[n])."""
    if len(d) == 1:
        return d[0]
    k = 2 ** ((len(d) - 1).bit_length() - 1)
    return node_hash(mth(d[:k]), mth(d[k:]))


@given(SIZE)
def test_the_root_from_nodes_is_that_of_the_frontier(size: int) -> None:
    assert tree_root(size, node) == root(size)
    assert tree_root(0, node) == EMPTY_ROOT


@given(st.integers(1, 2**60), st.data())
def test_a_proof_asks_for_few_nodes_however_long_the_log_is(size: int, data: st.DataObject) -> None:
    asked: list[tuple[int, int]] = []
    index = data.draw(st.integers(0, size - 1))
    old = data.draw(st.integers(1, size))
    inclusion_proof(index, size, counting(asked, size))
    assert len(asked) <= 2 * 60
    asked.clear()
    consistency_proof(old, size, counting(asked, size))
    assert len(asked) <= 2 * 60


def counting(asked: list[tuple[int, int]], size: int) -> Node:
    def look(level: int, index: int) -> bytes:
        assert (index + 1) << level <= size, "asked for a subtree that is not whole yet"
        asked.append((level, index))
        return bytes(32)

    return look


@given(SIZE, st.data())
def test_an_inclusion_proof_proves_nothing_else(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(index, size, node)
    leaf, top = LEAVES[index], root(size)
    other = data.draw(st.integers(-2, size + 2).filter(lambda place: place != index))
    assert not verify_inclusion(other, size, leaf, proof, top)
    assert not verify_inclusion(index, size, data.draw(HASH), proof, top)
    assert not verify_inclusion(index, size, leaf, proof, data.draw(HASH))
    assert not verify_inclusion(index, size, leaf, [*proof, data.draw(HASH)], top)
    assert not verify_inclusion(index, size, leaf, [data.draw(HASH), *proof], top)
    if proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        assert not verify_inclusion(index, size, leaf, proof[:place] + proof[place + 1 :], top)
        changed = bytes([proof[place][0] ^ data.draw(st.integers(1, 255))]) + proof[place][1:]
        assert not verify_inclusion(index, size, leaf, [*proof[:place], changed, *proof[place + 1 :]], top)


@given(SIZE, st.data())
def test_a_consistency_proof_proves_nothing_else(new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, new))
    proof = consistency_proof(old, new, node)
    before, after = root(old), root(new)
    assert not verify_consistency(old, new, data.draw(HASH), after, proof)
    assert not verify_consistency(old, new, before, data.draw(HASH), proof)
    assert not verify_consistency(old, new, before, after, [*proof, data.draw(HASH)])
    assert not verify_consistency(old, new, before, after, [data.draw(HASH), *proof])
    other = data.draw(st.integers(-2, new + 2).filter(lambda size: size != old))
    assert not verify_consistency(other, new, before, after, proof)
    if proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        assert not verify_consistency(old, new, before, after, proof[:place] + proof[place + 1 :])
        changed = bytes([proof[place][0] ^ data.draw(st.integers(1, 255))]) + proof[place][1:]
        assert not verify_consistency(old, new, before, after, [*proof[:place], changed, *proof[place + 1 :]])


def test_every_tree_begins_with_the_empty_one_and_with_itself() -> None:
    assert consistency_proof(0, 0, node) == consistency_proof(0, 9, node) == consistency_proof(9, 9, node) == []
    assert verify_consistency(0, 0, EMPTY_ROOT, EMPTY_ROOT, [])
    assert verify_consistency(0, 9, EMPTY_ROOT, root(9), [])
    assert verify_consistency(9, 9, root(9), root(9), [])
    assert not verify_consistency(0, 9, root(1), root(9), [])
    assert not verify_consistency(0, 9, EMPTY_ROOT, root(9), [root(1)])
    assert not verify_consistency(0, 0, EMPTY_ROOT, root(9), [])
    assert not verify_consistency(9, 9, root(9), root(8), [])


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 3), (7, 3)])
def test_there_is_no_proof_of_a_leaf_that_is_not_there(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no leaf"):
        inclusion_proof(index, size, node)


@pytest.mark.parametrize(("old", "new"), [(1, 0), (9, 8), (-1, 3)])
def test_there_is_no_proof_that_a_tree_begins_with_a_longer_one(old: int, new: int) -> None:
    with pytest.raises(ValueError, match="cannot begin"):
        consistency_proof(old, new, node)
