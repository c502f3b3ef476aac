"""Do the requests about changed calls hang together? For `verify.py`, which reads a log from its first entry to its last.

A person's answer `modify` ends a request and names the one that is asked instead: its id, the keyed digest of the changed
call and the digest of the whole request, all three signed. So:

* what an entry says of such an answer is what was signed
* the request that it names is asked word for word as it was signed: the same call, tool, mode, caller, policy and time
* any other request that says it came of one about a changed call is asked in the place of that one, and what was last asked
  there has ended: of all requests about one changed call one waits at a time. Nobody signed how such a request is asked, as
  policies or the tool may be others by now; a person signs it anew

That nobody answers a request after it was changed, `requests.py` looks at. Whose signature it is, the entry tells: whether
that key is an approver's `signed_answers.py` looks at, for who knows the approvers.
"""

from base64 import b64decode
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.core.canonical import digest
from gateway.core.entry import Entry, part
from gateway.core.requests import Step, step_in

MOST_ENDED = 10_000
"""How many requests that ended are remembered. By number and not by time, as a clock may be set. In the place of one that
ended another is asked at once, or by a call that met it while it waited: the log holds few entries between."""

_ENDS = frozenset({Step.REJECTED, Step.MODIFIED, Step.EXPIRED, Step.VOID, Step.CONSUMED})


@dataclass(slots=True)
class _Place:
    """Where requests about one changed call are asked, one after the other. `waits`: the one that has not ended."""

    waits: str | None = None


@dataclass(frozen=True, slots=True)
class _Named:
    """A request that an answer `modify` named: in whose place it is to be asked, and the digest that was signed, if any."""

    came_of: str
    digest: str | None
    place: _Place


class Changes:
    """See the module. Remembers requests that wait, and `MOST_ENDED` more."""

    def __init__(self) -> None:
        self._named: dict[str, _Named] = {}
        self._places: dict[str, _Place] = {}
        self._ended: deque[str] = deque()

    def problems(self, entry: Entry) -> Iterator[str]:
        """What is wrong with an entry of the kind `approval` or `intent`, before which all others were read."""
        found = step_in(entry)
        if found is None:
            return
        approval_id, step = found
        if step is Step.REQUESTED:
            yield from self._asked(approval_id, part(entry.predicate, "approval"))
        elif step is Step.MODIFIED:
            yield from self._modified(approval_id, entry.predicate)
        if step in _ENDS:
            self._end(approval_id)

    def _asked(self, approval_id: str, asked: Mapping[str, Any]) -> Iterator[str]:
        named, came_of = self._named.pop(approval_id, None), asked.get("modified_from")
        if named is None and came_of is None:
            return
        before = self._places.get(came_of) if isinstance(came_of, str) else None
        place = before if named is None else named.place
        if place is None or (named is not None and (named.came_of, named.digest) != (came_of, digest(asked))):
            yield "a request about a changed call that no signed answer names"
        elif place.waits is not None:
            yield "a request about a changed call in place of one that has not ended"
        place = place or _Place()
        place.waits = approval_id
        self._places[approval_id] = place

    def _modified(self, approval_id: str, predicate: Mapping[str, Any]) -> Iterator[str]:
        into = part(predicate, "modified_into")
        signed = _signed_digest(predicate, into)
        if signed is None:
            yield "a change that is not the one that was signed"
        place = self._places.get(approval_id) or _Place()
        self._named[str(into.get("approval_id"))] = _Named(approval_id, signed, place)

    def _end(self, approval_id: str) -> None:
        """It waits no more. What ended long ago is forgotten."""
        place = self._places.get(approval_id)
        if place is None or place.waits != approval_id:
            return
        place.waits = None
        self._ended.append(approval_id)
        if len(self._ended) > MOST_ENDED:
            self._places.pop(self._ended.popleft(), None)


def _signed_digest(predicate: Mapping[str, Any], into: Mapping[str, Any]) -> str | None:
    """The digest of the request that is to be asked instead, as it was signed; None where something else was signed than the
    entry around it says."""
    asked = part(predicate, "approval")
    try:
        signed = orjson.loads(b64decode(part(predicate, "signed_answer")["payload"]))
        said = signed["answer"], signed["approval_id"], signed["call_digest"]
        then = signed["modified_into"]
        named, of_request = (then["approval_id"], then["call_digest"]), then["request_digest"]
    except (KeyError, TypeError, ValueError):
        return None
    as_told = said == ("modify", asked.get("approval_id"), asked.get("call_digest")) and named == (
        into.get("approval_id"),
        into.get("call_digest"),
    )
    return of_request if as_told and isinstance(of_request, str) else None
