"""What an approver signs, in which of two forms, and by whose keys.

Both forms cover the same payload: the answer, and the digest of the request document the approver was shown. An answer has
exactly the members of its form: what is kept as an approver's word holds nothing that they did not sign.

| form | signature | how an auditor checks it without us |
|---|---|---|
| `{payloadType, payload, signatures}` | DSSE, by an Ed25519 key file | as any DSSE envelope |
| `{payloadType, payload, sshsig}` | SSHSIG of the payload bytes, namespace `sealgate-approval` | `ssh-keygen -Y verify` |

An answer that a client gave to an elicitation has no signature of a person. The gateway signs it with its entry key then: as
what it was told, by whom it authenticated.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.core.canonical import canonical, digest
from gateway.core.dsse import NotVerified, Signer, Verified, open_envelope
from gateway.core.obligations import ApproveFor, Route
from gateway.core.outcome import Reason
from gateway.core.sshsig import BadSshSignature, SshKey, signing_key, verify

PAYLOAD_TYPE = "application/vnd.sealgate.approval.v1+json"
SSH_NAMESPACE = "sealgate-approval"
MAX_PAYLOAD_CHARS = 16_384
MAX_COMMENT_CHARS = 500


class Answer(StrEnum):
    APPROVE = "approve"
    REJECT = "reject"
    MODIFY = "modify"


@dataclass(frozen=True, slots=True)
class Approver:
    """A person who may approve: `user:alice` and their public key."""

    principal: str
    keyid: str
    key: Ed25519PublicKey | SshKey


class Attestor(Signer, Protocol):
    """Signs for the gateway what a client answered. Implementations: `adapters.keys.FileSigner`."""

    def public(self) -> Ed25519PublicKey:
        """The key to verify with."""


@dataclass(frozen=True, slots=True)
class SignedAnswer:
    """An answer whose signature and rules were checked. `envelope` is what was signed, kept as proof.

    `modified_into`: of the answer `modify`, the id of the request that is asked instead.
    """

    approval_id: str
    answer: Answer
    approver: str
    keyid: str
    comment: str
    envelope: dict[str, Any]
    route: Route = Route.CLI
    reach: ApproveFor = ApproveFor.ONCE
    modified_into: str | None = None


def request_digest(request: Mapping[str, Any]) -> str:
    """Of a request document. Reasons enter by code: a policy's sentence may quote an argument, and no key is in this."""
    return digest({**request, "reasons": [reason["code"] for reason in request["reasons"]]})


def answer_payload(
    request: Mapping[str, Any],
    answer: Answer,
    approver: str,
    comment: str,
    route: Route = Route.CLI,
    reach: ApproveFor = ApproveFor.ONCE,
    *,
    into: Mapping[str, Any] | None = None,
) -> bytes:
    """What an approver signs: the answer, and the digest of the request document they were shown.

    The usual route, the command line, and the usual reach, this one call, are not spelled out. `into`: with the answer
    `modify`, the document of the request that is to be asked instead.
    """
    return canonical(
        {
            "answer": answer.value,
            "approval_id": request["approval_id"],
            "approver": approver,
            "call_digest": request["call_digest"],
            "comment": comment,
            "request_digest": request_digest(request),
            **({} if route is Route.CLI else {"route": route.value}),
            **({} if reach is ApproveFor.ONCE else {"approve_for": reach.value}),
            **({} if into is None else {"modified_into": _named(into)}),
        }
    )


def _named(request: Mapping[str, Any]) -> dict[str, str]:
    """Which request, about which call."""
    return {
        "approval_id": request["approval_id"],
        "call_digest": request["call_digest"],
        "request_digest": request_digest(request),
    }


def ssh_envelope(payload: bytes, armored: str) -> dict[str, Any]:
    """The second form."""
    return {"payload": b64encode(payload).decode(), "payloadType": PAYLOAD_TYPE, "sshsig": armored}


_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
_SELECTORS = frozenset(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
"""Letters and marks that show nothing, though Unicode does not count them among its controls."""


def bad_comment(comment: str) -> Reason | None:
    """Why this cannot stand in the log as an approver's words: too long, or not all of it can be seen."""
    if len(comment) > MAX_COMMENT_CHARS:
        return Reason("approval.comment", f"A comment has at most {MAX_COMMENT_CHARS} characters.")
    if not comment.isprintable() or set(comment) & (_BLANK | _SELECTORS):
        return Reason("approval.comment", "A comment is one line of characters that can be seen.")
    return None


def named_request(envelope: Mapping[str, Any]) -> str | None:
    """The request that an answer says is to be asked instead. Nothing of it is checked: it is only where to look."""
    try:
        told = orjson.loads(b64decode(str(envelope["payload"])[:MAX_PAYLOAD_CHARS]))["modified_into"]["approval_id"]
    except (KeyError, TypeError, ValueError):
        return None
    return told if isinstance(told, str) else None


def open_answer(envelope: Mapping[str, Any], keys: Mapping[str, Ed25519PublicKey | SshKey]) -> Verified:
    """The signed payload, and which of `keys` (by id) signed it. Raises `NotVerified`."""
    payload, kind = envelope.get("payload"), envelope.get("payloadType")
    if not isinstance(payload, str) or len(payload) > MAX_PAYLOAD_CHARS or kind != PAYLOAD_TYPE:
        raise NotVerified("not a signed answer")
    if "sshsig" in envelope:
        return _open_ssh(envelope, payload, keys)
    match envelope:
        case {"signatures": [{"keyid": str(keyid), "sig": str(sig)}]}:
            known = {"payload": payload, "payloadType": kind, "signatures": [{"keyid": keyid, "sig": sig}]}
        case _:
            known = {}
    if envelope != known:
        raise NotVerified("not a DSSE envelope with one signature and nothing else")
    dsse = {keyid: key for keyid, key in keys.items() if isinstance(key, Ed25519PublicKey)}
    return open_envelope(orjson.dumps(known), PAYLOAD_TYPE, dsse)


def _open_ssh(envelope: Mapping[str, Any], payload: str, keys: Mapping[str, Ed25519PublicKey | SshKey]) -> Verified:
    armored = envelope["sshsig"]
    if envelope.keys() != {"payload", "payloadType", "sshsig"} or not isinstance(armored, str):
        raise NotVerified("not an answer with an SSH signature and nothing else")
    try:
        covered, blob = b64decode(payload, validate=True), signing_key(armored)
        key = next((one for one in keys.values() if isinstance(one, SshKey) and one.blob == blob), None)
        if key is None:
            raise NotVerified("signed by an unknown SSH key")
        verify(armored, key, SSH_NAMESPACE, covered)
    except BadSshSignature as error:
        raise NotVerified(str(error)) from error
    except ValueError as error:
        raise NotVerified("not an answer with an SSH signature") from error
    if b64encode(covered).decode() != payload:  # one spelling only
        raise NotVerified("its payload is spelled in an unusual way")
    return Verified(covered, key.fingerprint)
