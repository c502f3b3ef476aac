"""C2SP tlog-policy: which logs count, which witnesses there are, and how many of them must have cosigned a checkpoint.

    log <vkey> [<url>]
    witness <name> <vkey> [<url>]
    group <name> all|any|<k> <name>...
    quorum <name>|none

Source: https://c2sp.org/tlog-policy. Stricter than that: the text is UTF-8 throughout. Names are compared as they are.
"""

import re
from dataclasses import dataclass, field

from gateway.core.checkpoint import Checkpoint, open_checkpoint, read_checkpoint
from gateway.core.cosignature import Cosignature, cosignatures
from gateway.core.dsse import NotVerified
from gateway.core.verifier_key import SignatureType, VerifierKey, parse_verifier_key

MAX_LINES = 1000
NONE = "none"

_OCTETS = re.compile(rb"[\t\n\x20-\x7e\x80-\xff]*")
_COUNT = re.compile("[1-9][0-9]{0,3}")


class PolicyFault(ValueError):
    """A policy text that cannot be used; the message begins with the line's number."""


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness by its name in the policy. `url`: where it takes checkpoints (C2SP submission prefix), where known."""

    name: str
    key: VerifierKey
    url: str | None


@dataclass(frozen=True, slots=True)
class _Group:
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Anchored:
    """A checkpoint that the policy accepts, and the cosignatures it has."""

    checkpoint: Checkpoint
    cosignatures: tuple[Cosignature, ...]


@dataclass(frozen=True, slots=True)
class LogPolicy:
    """A checked policy."""

    logs: tuple[VerifierKey, ...]
    witnesses: tuple[Witness, ...]
    quorum: str
    _groups: dict[str, _Group] = field(repr=False)

    def met_by(self, names: frozenset[str]) -> bool:
        """Whether these witnesses, by their names in the policy, are a quorum."""
        return self.quorum == NONE or self._witnessed(self.quorum, names)

    def open(self, note: str) -> Anchored:
        """`note`, signed by a log of the policy and cosigned by a quorum.

        Raises:
            NotVerified: it is not, or a signature of a known key does not match.
        """
        signed = read_checkpoint(note)
        origin = signed.checkpoint.origin
        keys = [key.public() for key in self.logs if key.name == origin]
        if not keys:
            raise NotVerified(f"the policy has no key for the log {origin!r}")
        checkpoint = open_checkpoint(note, origin, keys)
        found = tuple(cosignatures(signed, tuple(witness.key for witness in self.witnesses)))
        signers = {cosignature.key for cosignature in found}
        names = frozenset(witness.name for witness in self.witnesses if witness.key in signers)
        if not self.met_by(names):
            told = ", ".join(sorted(names)) or "no witness"
            raise NotVerified(f"cosigned by {told}, which is not the quorum {self.quorum!r} of the policy")
        return Anchored(checkpoint, found)

    def _witnessed(self, name: str, names: frozenset[str]) -> bool:
        group = self._groups.get(name)
        if group is None:
            return name in names
        return sum(self._witnessed(member, names) for member in group.members) >= group.threshold


def parse_log_policy(data: bytes) -> LogPolicy:
    """Raises `PolicyFault` at the first line that is wrong."""
    if _OCTETS.fullmatch(data) is None:
        raise PolicyFault("line 1: the file holds control characters, such as carriage returns")
    try:
        lines = data.decode().split("\n")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise PolicyFault(f"line {number}: it is not UTF-8") from error
    if len(lines) > MAX_LINES:
        raise PolicyFault(f"line {MAX_LINES}: a policy has at most {MAX_LINES} lines")
    reading = _Reading()
    for number, line in enumerate(lines, 1):
        words = re.split("[ \t]+", line.strip(" \t"))
        if words == [""] or words[0].startswith("#"):
            continue
        try:
            reading.take(words)
        except ValueError as error:
            raise PolicyFault(f"line {number}: {error}") from error
    if reading.quorum is None:
        raise PolicyFault(f"line {len(lines)}: there is no quorum line. Write for example: quorum none")
    return LogPolicy(tuple(reading.logs), tuple(reading.witnesses.values()), reading.quorum, reading.groups)


class _Reading:
    """What the lines so far said. A line may only name what stands before it, so nothing is circular."""

    def __init__(self) -> None:
        self.logs: list[VerifierKey] = []
        self.witnesses: dict[str, Witness] = {}
        self.groups: dict[str, _Group] = {}
        self.quorum: str | None = None
        self._taken: set[str] = set()

    def take(self, words: list[str]) -> None:
        match words:
            case ["log", vkey, *url] if len(url) <= 1:
                self._add_log(parse_verifier_key(vkey))
            case ["witness", name, vkey, *url] if len(url) <= 1:
                self._add_witness(name, parse_verifier_key(vkey), url[0] if url else None)
            case ["group", name, count, *members] if members:
                self._add_group(name, count, members)
            case ["quorum", name]:
                self._set_quorum(name)
            case _:
                raise ValueError("not a line of a policy. It is: log, witness, group or quorum with their words")

    def _add_log(self, key: VerifierKey) -> None:
        if key.kind is not SignatureType.ED25519:
            raise ValueError("a log's key has signature type 01")
        if any(key.public_key == other.public_key for other in self.logs):
            raise ValueError("this log's key stands here already")
        self.logs.append(key)

    def _add_witness(self, name: str, key: VerifierKey, url: str | None) -> None:
        if key.kind is not SignatureType.COSIGNATURE:
            raise ValueError("a witness's key has signature type 04")
        if any(key.public_key == other.key.public_key for other in self.witnesses.values()):
            raise ValueError("this witness's key stands here already")
        self._check_new(name)
        self.witnesses[name] = Witness(name, key, url)

    def _add_group(self, name: str, count: str, members: list[str]) -> None:
        self._check_new(name)
        for member in members:
            self._check_defined(member)
            if member in self._taken:
                raise ValueError(f"{member!r} is a member already; each name may be one once")
            self._taken.add(member)
        sizes = {"all": len(members), "any": 1}
        if count not in sizes and _COUNT.fullmatch(count) is None:
            raise ValueError(f"{count!r} is not all, any or a number")
        threshold = sizes[count] if count in sizes else int(count)
        if threshold > len(members):
            raise ValueError(f"{threshold} of {len(members)} members can never be")
        self.groups[name] = _Group(threshold, tuple(members))

    def _set_quorum(self, name: str) -> None:
        if self.quorum is not None:
            raise ValueError("there is a quorum line already")
        if name != NONE:
            self._check_defined(name)
        self.quorum = name

    def _check_new(self, name: str) -> None:
        if name == NONE or name in self.witnesses or name in self.groups:
            raise ValueError(f"the name {name!r} is taken")

    def _check_defined(self, name: str) -> None:
        if name not in self.witnesses and name not in self.groups:
            raise ValueError(f"{name!r} is no witness or group of a line before this one")
