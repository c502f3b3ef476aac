"""C2SP tlog-proof: one text file that shows, offline, that an entry is in the log under a signed checkpoint.

    c2sp.org/tlog-proof@v1
    extra <base64 of the entry>
    index <its number>
    <base64 of a hash>, from the leaf's sibling upwards
    (empty line)
    <the checkpoint, a signed note>

The extra line holds the entry itself, so that the file is all it takes. The line is not trusted: what counts is that its
leaf hash leads to the root of the checkpoint. Source: https://c2sp.org/tlog-proof.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass

from gateway.core.checkpoint import Checkpoint
from gateway.core.dsse import NotVerified
from gateway.core.merkle import leaf_hash
from gateway.core.proof import verify_inclusion

FIRST_LINE = "c2sp.org/tlog-proof@v1"
MAX_HASHES = 64

_INDEX = re.compile("0|[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True)
class LogProof:
    """An entry's bytes, its number, the inclusion proof and the checkpoint it leads to (a signed note)."""

    entry: bytes
    index: int
    hashes: tuple[bytes, ...]
    note: str

    def text(self) -> str:
        """The file."""
        lines = [
            FIRST_LINE,
            f"extra {_encoded(self.entry)}",
            f"index {self.index}",
            *map(_encoded, self.hashes),
            "",
            self.note,
        ]
        return "\n".join(lines)

    def check(self, open_note: Callable[[str], Checkpoint]) -> Checkpoint:
        """The checkpoint, which covers the entry.

        Args:
            open_note: opens a signed note by trusted keys, or raises `NotVerified`

        Raises:
            NotVerified: the checkpoint is not trusted, or the entry is not under it at this place.
        """
        checkpoint = open_note(self.note)
        if self.index >= checkpoint.size:
            raise NotVerified(f"the checkpoint states {checkpoint.size} entries, and this is to be entry {self.index}")
        if not verify_inclusion(self.index, checkpoint.size, leaf_hash(self.entry), self.hashes, checkpoint.root):
            raise NotVerified(f"the entry is not entry {self.index} under the checkpoint of {checkpoint.size} entries")
        return checkpoint


def parse_proof(text: str) -> LogProof:
    """The inverse of `LogProof.text`: every proof has one spelling. Checks the form only.

    Raises:
        NotVerified: it is not a proof file of ours.
    """
    head, separator, note = text.partition("\n\n")
    first, *lines = head.split("\n")
    if first != FIRST_LINE or not separator:
        raise NotVerified(f"not a proof: its first line must be {FIRST_LINE}")
    if len(lines) < 2 or not lines[0].startswith("extra ") or not lines[1].startswith("index "):
        raise NotVerified("not a proof of an entry: the lines extra and index must follow")
    index = lines[1].removeprefix("index ")
    if _INDEX.fullmatch(index) is None:
        raise NotVerified(f"{index[:40]!r} is no index")
    hashes = tuple(map(_decoded, lines[2:]))
    if len(hashes) > MAX_HASHES or any(len(one) != 32 for one in hashes):
        raise NotVerified(f"a proof has at most {MAX_HASHES} hashes of 32 bytes")
    return LogProof(_decoded(lines[0].removeprefix("extra ")), int(index), hashes, note)


def _encoded(data: bytes) -> str:
    return b64encode(data).decode()


def _decoded(text: str) -> bytes:
    try:
        data = b64decode(text, validate=True)
    except ValueError as error:
        raise NotVerified(f"not base64: {text[:40]!r}") from error
    if _encoded(data) != text:
        raise NotVerified(f"not the one spelling of base64: {text[-40:]!r}")
    return data
