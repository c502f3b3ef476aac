"""Random JSON documents (hypothesis)."""

from typing import Any

from hypothesis import strategies as st

from gateway.core.wire import MAX_SAFE_INTEGER

Documents = st.SearchStrategy[Any]

_LONE = st.integers(0xD800, 0xDFFF).map(chr)
any_text = st.text(st.characters(codec="utf-8"), max_size=12)
ascii_text = st.text(st.characters(max_codepoint=127), max_size=8)
safe_integers = st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER)
floats = st.floats(allow_nan=False, allow_infinity=False)
lone_surrogates = st.builds(lambda before, lone, after: before + lone + after, ascii_text, _LONE, ascii_text)


def documents(scalars: Documents, keys: st.SearchStrategy[str] = any_text) -> Documents:
    """Nested lists and objects of `scalars`."""
    return st.recursive(
        scalars,
        lambda below: st.lists(below, max_size=4) | st.dictionaries(keys, below, max_size=4),
        max_leaves=20,
    )


plain_scalars = st.none() | st.booleans() | safe_integers | any_text
plain = documents(plain_scalars, ascii_text)
"""What sorted orjson may serialise: ASCII keys, safe integers, no floats."""

acceptable = documents(plain_scalars | floats, any_text)
"""Everything RFC 8785 has a form for."""

exact_floats = floats.filter(lambda number: not MAX_SAFE_INTEGER < abs(number) < 1e21)
sealable = documents(plain_scalars | exact_floats, any_text)
"""What may be an argument: `acceptable` without floats that are written as integers beyond ±(2^53−1)."""
