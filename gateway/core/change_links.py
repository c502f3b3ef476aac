"""Do the requests about changed calls hang together? For `verify.py`, which reads a log from its first entry to its last.

A person's answer `modify` ends a request and names the one that is asked instead, with the keyed digest of the changed call;
the approver signed both. So:

* what an entry says of such an answer is what was signed
* a request that says it came of another was named by that one's answer, with this call's digest, or is asked in place of a
  request about a changed call, which a person signed anew

That nobody answers a request after it was changed, `requests.py` looks at.

Whose signature it is, the entry tells: whether that key is an approver's is for who knows the approvers.
"""

from base64 import b64decode
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import orjson

from gateway.core.entry import part

KEPT_AFTER = timedelta(hours=1)
"""How long a request is remembered after its time: a clock may be set back a little, and an entry follows a moment later."""


class Changes:
    """See the module. Remembers requests until their time is over."""

    def __init__(self) -> None:
        self._named: dict[str, tuple[str, str]] = {}  # by request that was announced: the one it came of, its call digest
        self._about_changed: set[str] = set()
        self._until: dict[str, str] = {}

    def problems(self, predicate: Mapping[str, Any]) -> Iterator[str]:
        """What is wrong with one approval entry."""
        asked = part(predicate, "approval")
        approval_id, came_of = str(asked.get("approval_id")), asked.get("modified_from")
        match predicate.get("event"):
            case "requested" if came_of is not None:
                named = self._named.pop(approval_id, None)
                if named != (came_of, asked.get("call_digest")) and (named or came_of not in self._about_changed):
                    yield "a request about a changed call that no signed answer names"
                self._about_changed.add(approval_id)
                self._keep(approval_id, asked, predicate)
            case "modified":
                into = part(predicate, "modified_into")
                if not _is_signed(predicate, asked, into):
                    yield "a change that is not the one that was signed"
                self._named[str(into.get("approval_id"))] = approval_id, str(into.get("call_digest"))
                self._keep(approval_id, asked, predicate)
            case _:
                pass

    def _keep(self, approval_id: str, asked: Mapping[str, Any], predicate: Mapping[str, Any]) -> None:
        """Remember it; those whose time was over long before are forgotten."""
        now = str(predicate.get("recorded_at"))
        for name in [name for name, until in self._until.items() if until < now]:
            del self._until[name]
            self._about_changed.discard(name)
        try:
            until = datetime.fromisoformat(str(asked.get("expires_at"))) + KEPT_AFTER
            self._until[approval_id] = until.isoformat()
        except ValueError:
            self._until[approval_id] = "9999"


def _is_signed(predicate: Mapping[str, Any], asked: Mapping[str, Any], into: Mapping[str, Any]) -> bool:
    """Whether the signed payload says the same as the entry around it."""
    try:
        signed = orjson.loads(b64decode(part(predicate, "signed_answer")["payload"]))
        said = signed["answer"], signed["approval_id"], signed["call_digest"]
        named = signed["modified_into"]["approval_id"], signed["modified_into"]["call_digest"]
    except (KeyError, TypeError, ValueError):
        return False
    return said == ("modify", asked.get("approval_id"), asked.get("call_digest")) and named == (
        into.get("approval_id"),
        into.get("call_digest"),
    )
