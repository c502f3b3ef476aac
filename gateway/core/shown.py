"""What an approver sees of a call's arguments: exactly what will run, in characters that cannot deceive.

The text is JSON of the same document in printable ASCII and line breaks. Whatever else a string holds is spelled as JSON's
own escape, so that no two different documents look the same: not by a look-alike letter, not by text that is hidden or
runs the other way.
"""

import hashlib
import json
from typing import Any

from gateway.core.canonical import canonical


def shown_arguments(document: Any) -> str:
    """The text. `json.loads` gives the document back."""
    return json.dumps(document, indent=2, ensure_ascii=True).replace("\x7f", "\\u007f")  # outside of strings there is none


def shown_digest(document: Any) -> str:
    """`sha256:` over the canonical bytes, for approvers to compare. Not keyed: it is shown and stored nowhere."""
    return "sha256:" + hashlib.sha256(canonical(document)).hexdigest()


def shown_word(text: str) -> str:
    """One word or name on one line, in the same characters, without the quotes."""
    return json.dumps(text, ensure_ascii=True)[1:-1].replace("\x7f", "\\u007f")
