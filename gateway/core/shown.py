"""What an approver sees of a call: exactly what will run, in characters that cannot deceive.

The text is JSON of the same document in printable ASCII and line breaks. Whatever else a string holds is spelled as JSON's
own escape, so that no two different documents look the same: not by a look-alike letter, not by text that is hidden or
runs the other way.
"""

import hashlib
import json
from collections.abc import Mapping
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


def shown_request(document: Mapping[str, Any]) -> list[str]:
    """Lines that tell a request as the daemon answers it: `request`, `state`, `answers`, `missing`, `arguments`."""
    request, arguments = document["request"], document["arguments"]
    undone = request.get("compensates")
    return [
        f"approval   {request['approval_id']}  ({document['state']})",
        f"tool       {request['capability_id']}  ({request['mode']})",
        *([f"undoes     the call {undone['envelope_id']} of {undone.get('capability_id', '?')}"] if undone else []),
        f"for        {' -> '.join(map(shown_word, request['principal_chain']))}  in tenant {request['tenant_id']}",
        *(f"because    {shown_word(reason['message'])} [{reason['code']}]" for reason in request["reasons"]),
        f"asked      {request['requested_at']}, expires {request['expires_at']}",
        f"digest     {request['call_digest']}",
        *(["approver   only " + request["required_approver"]] if request["required_approver"] else []),
        *_shown_answers(document),
        *(["routes     " + ", ".join(request["routes"])] if "routes" in request else []),
        *([f"reach      a yes may hold for all of run {shown_word(request['run_id'])}"] if "run_id" in request else []),
        *(["advisory   development gateway: an approval here proves nothing"] if request["advisory"] else []),
        "arguments  " + ("none are kept" if arguments is None else shown_digest(arguments)),
        *("  " + line for line in shown_arguments(arguments).splitlines()),
    ]


def _shown_answers(document: Mapping[str, Any]) -> list[str]:
    quorum = document["request"].get("quorum")
    lines = [f"approved   by {one['approver']}" for one in document["answers"] if one["answer"] == "approve"]
    if quorum is None:
        return lines
    circle = f" of {', '.join(quorum['of'])}" if quorum["of"] else ""
    return [f"quorum     {quorum['count']} different approvers{circle}; {document['missing']} still missing", *lines]
