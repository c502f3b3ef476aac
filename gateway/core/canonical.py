"""Canonical bytes: RFC 8785 (JCS), and SHA-256 over them.

Most documents lie in a subset on which sorted `orjson` output equals JCS: ASCII keys (byte order is UTF-16 order), no
floats (number formatting), integers within ±(2^53−1), no lone surrogates. `is_plain` proves a document is in it;
everything else takes the slower reference implementation. A property test holds the two equal on the subset.
"""

import hashlib
from typing import Any

import orjson
import rfc8785

from gateway.core.wire import MAX_DEPTH, MAX_SAFE_INTEGER


class NotCanonical(ValueError):
    """The document has no canonical form: a number out of range, a lone surrogate, too deep."""


def canonical(document: Any) -> bytes:
    """RFC 8785 bytes of a JSON document made of dict, list, str, int, float, bool and None.

    Raises:
        NotCanonical: the document has no canonical form.
    """
    if is_plain(document):
        try:
            return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
        except TypeError as error:  # lone surrogates
            raise NotCanonical(str(error)) from error
    try:
        return rfc8785.dumps(document)
    except (rfc8785.CanonicalizationError, UnicodeError, RecursionError) as error:
        raise NotCanonical(str(error)) from error


def is_plain(document: Any) -> bool:
    """Whether sorted `orjson` output of `document` is its JCS form."""
    level = [document]
    for _ in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for value in level:
            kind = type(value)
            if kind is dict:
                for key in value:
                    if type(key) is not str or not key.isascii():
                        return False
                below.extend(value.values())
            elif kind is list or kind is tuple:
                below.extend(value)
            elif kind is int:
                if not -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
                    return False
            elif kind is not str and kind is not bool and value is not None:
                return False
        if not below:
            return True
        level = below
    return False


def digest(document: Any) -> str:
    """`sha256:` and the hex SHA-256 of the canonical bytes. Only for documents that hold no argument or result value."""
    return "sha256:" + hashlib.sha256(canonical(document)).hexdigest()
