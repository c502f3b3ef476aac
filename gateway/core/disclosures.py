"""A disclosure file: some values of one call, with the salts that open their commitments. For an authorised auditor.

    {"format": "https://sealgate.dev/Disclosures/v1", "envelope_id": "…",
     "disclosures": [{"of": "argument", "name": "text", "disclosure": "WyJ…", "digest": "…"}, …]}

`disclosure` is the SD-JWT form (RFC 9901 section 4.2), `digest` the base64url of its SHA-256. The file proves a value only
together with an entry that commits to that digest; nothing in it is trusted. Without the salt a digest tells nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.core.commitment import Place, commitments, disclosure_digest, read_disclosure
from gateway.core.dsse import NotVerified

FORMAT = "https://sealgate.dev/Disclosures/v1"


@dataclass(frozen=True, slots=True)
class Disclosed:
    """One value, and the disclosure that opens its commitment."""

    place: Place
    value: Any
    encoded: str
    digest: str


def disclosed(place: Place, encoded: str, committed: Mapping[Place, str]) -> Disclosed:
    """The value of a disclosure that `committed` commits to at this place.

    Raises:
        NotVerified: it is none, of another name, or not what was committed to.
    """
    try:
        kept = read_disclosure(encoded)
    except ValueError as error:
        raise NotVerified(f"{_called(place)}: {error}") from error
    digest = disclosure_digest(encoded)
    if kept.name != place[1]:
        raise NotVerified(f"{_called(place)}: its disclosure is of {kept.name!r}")
    if place not in committed:
        raise NotVerified(f"{_called(place)}: the entry commits to no such value")
    if committed[place] != digest:
        raise NotVerified(f"{_called(place)}: this is not the value that the entry commits to")
    return Disclosed(place, kept.value, encoded, digest)


def disclosure_file(envelope_id: str, values: list[Disclosed]) -> dict[str, Any]:
    """The document of a disclosure file."""
    items = [{"of": one.place[0], "name": one.place[1], "disclosure": one.encoded, "digest": one.digest} for one in values]
    return {"format": FORMAT, "envelope_id": envelope_id, "disclosures": items}


def check_disclosures(document: Any, predicate: Mapping[str, Any]) -> list[Disclosed]:
    """The values in a disclosure file, each checked against the entry with this predicate.

    Raises:
        NotVerified: the file is of another form or another call, or one of its values is not what was committed to.
    """
    if (
        not isinstance(document, dict)
        or document.get("format") != FORMAT
        or not isinstance(document.get("disclosures"), list)
    ):
        raise NotVerified(f"not a disclosure file of the form {FORMAT}")
    if document.get("envelope_id") not in calls_of(predicate):
        raise NotVerified(f"the file is about the call {document.get('envelope_id')!r}, and the entry is not")
    committed, found = commitments(predicate), []
    for item in document["disclosures"]:
        match item:
            case {"of": str(of), "name": str(name), "disclosure": str(encoded), "digest": str(digest)}:
                value = disclosed((of, name), encoded, committed)
            case _:
                raise NotVerified("a disclosure has of, name, disclosure and digest, all of them texts")
        if value.digest != digest:
            raise NotVerified(f"{_called(value.place)}: the digest in the file is not that of its disclosure")
        found.append(value)
    return found


def calls_of(predicate: Mapping[str, Any]) -> Iterator[Any]:
    """The call that an entry is about: its own, or the one that it resolves."""
    yield predicate.get("id")
    resolved = predicate.get("resolution")
    if isinstance(resolved, Mapping):
        yield resolved.get("envelope_id")


def _called(place: Place) -> str:
    return "the result" if place[0] == "result" else f"the {place[0]} {place[1]!r}"
