"""The tree is that of RFC 6962, and its frontier is all that is needed to go on."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from gateway.core.merkle import Frontier, leaf_hash

ENTRIES = [f"entry {number}".encode() for number in range(131)]


def grown(entries: list[bytes]) -> Frontier:
    frontier = Frontier()
    for entry in entries:
        frontier.append(leaf_hash(entry))
    return frontier


@pytest.mark.parametrize("size", range(131))
def test_the_root_is_that_of_pymerkle(size: int) -> None:
    frontier, oracle = grown(ENTRIES[:size]), InmemoryTree(algorithm="sha256")
    for entry in ENTRIES[:size]:
        oracle.append_entry(entry)
    assert frontier.size == size
    assert frontier.root() == (oracle.get_root() if size else hashlib.sha256(b"").digest())


def test_the_roots_are_those_of_the_rfc6962_vectors() -> None:
    # certificate-transparency merkletree tests, sizes 1 and 8.
    inputs = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    entries = [bytes.fromhex(text) for text in inputs]
    assert grown(entries[:1]).root().hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert grown(entries).root().hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


@given(st.lists(st.binary(max_size=4), max_size=40), st.lists(st.binary(max_size=4), max_size=40))
def test_a_stored_frontier_goes_on_where_it_was(before: list[bytes], after: list[bytes]) -> None:
    stored = grown(before)
    resumed = Frontier.from_bytes(stored.size, stored.to_bytes())
    assert resumed.root() == stored.root()
    for entry in after:
        resumed.append(leaf_hash(entry))
    assert resumed.root() == grown(before + after).root()
    assert len(stored.to_bytes()) == 32 * stored.size.bit_count()


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=40))
def test_a_copy_is_not_touched_by_what_is_appended(entries: list[bytes]) -> None:
    frontier = grown(entries)
    copy, root = frontier.copy(), frontier.root()
    frontier.append(leaf_hash(b"more"))
    assert (copy.size, copy.root()) == (len(entries), root)


@pytest.mark.parametrize(("size", "length"), [(0, 32), (1, 0), (1, 64), (3, 32), (3, 33), (1, 1), (1, 31), (2, 33)])
def test_subtrees_that_do_not_fit_the_size_are_refused(size: int, length: int) -> None:
    with pytest.raises(ValueError, match="subtree"):
        Frontier.from_bytes(size, bytes(length))
