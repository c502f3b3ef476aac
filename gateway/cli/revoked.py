"""What revocations disown, as commands tell it, and `--accept-revoked`: nothing of it is accepted that nobody named.

Accepted is not trusted: a disowned checkpoint covers no entry and anchors nothing, a disowned entry proves nothing.
What no checkpoint that counts covers cannot be accepted.
"""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from gateway.cli.key_ids import whole_keyid
from gateway.core.errors import KeyFault, VerificationFailed
from gateway.core.trust import KeyRole, TrustedKeys, short
from gateway.core.verify import Report

AcceptRevokedOption = Annotated[
    list[str] | None,
    typer.Option(
        "--accept-revoked",
        metavar="KEYID",
        help="Accept what the revocation of this key disowns, and nothing else; may be repeated.",
    ),
]


def accepted_keys(given: list[str] | None, bundle: TrustedKeys) -> frozenset[str]:
    """The ids of the keys that `--accept-revoked` names. Raises `KeyFault` where the bundle does not say one is revoked."""
    revoked = {keyid for role in KeyRole for keyid, period in bundle.of(role).items() if period.revoked is not None}
    found = {whole_keyid(beginning, bundle) for beginning in given or []}
    for keyid in found - revoked:
        raise KeyFault(
            f"the key {short(keyid)} is not revoked in the trust bundle, so there is nothing to accept",
            hint="sealgate keys list shows which are revoked. Who has an older public.json asks for the newest.",
        )
    return frozenset(found)


def revoked_lines(report: Report) -> Iterator[str]:
    """For people: a line for each revoked key that signed something it disowns."""
    for one in report.revoked:
        yield f"{'accepted' if report.accepts(one) else 'revoked'}: {report.told(one)}"


def revoked_documents(report: Report) -> list[dict[str, Any]]:
    """For programs."""
    return [
        {
            "role": one.role.value,
            "keyid": one.keyid,
            "since": one.revocation.since,
            "entry": one.revocation.entry,
            "reason": one.revocation.reason,
            "count": one.count,
            "first": one.first,
            "last": one.last,
            "covered": report.covers(one),
            "accepted": report.accepts(one),
        }
        for one in report.revoked
    ]


def not_accepted(report: Report, message: str) -> VerificationFailed:
    """The error where nothing is wrong with the log but what revocations disown."""
    if all(report.covers(one) for one in report.unaccepted):
        options = " ".join(f"--accept-revoked {one.keyid[:16]}" for one in report.unaccepted)
        hint = f"Find out what was signed there. To go on with exactly this accepted: {options}"
    else:
        hint = "What no checkpoint that counts covers cannot be accepted. Check the whole log, with its newest checkpoint."
    return VerificationFailed(message, hint=hint, code="log.revoked")
