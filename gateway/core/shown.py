"""What an approver sees of a call: exactly what will run, in characters that cannot deceive.

The text is JSON of the same document in printable ASCII and line breaks. Whatever else a string holds is spelled as JSON's
own escape, so that no two different documents look the same: not by a look-alike letter, not by text that is hidden or
runs the other way. So are the characters by which a client that renders Markdown or HTML would hide a part of the text,
or make it look like something else.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.core.canonical import canonical
from gateway.core.fields import values_at
from gateway.core.modification import differences

_SPELLED = {ord(char): f"\\u{ord(char):04x}" for char in "<>&`\x7f"}


def shown_arguments(document: Any) -> str:
    """The text. `json.loads` gives the document back."""
    return _plain(json.dumps(document, indent=2, ensure_ascii=True))


def shown_digest(document: Any) -> str:
    """`sha256:` over the canonical bytes, for approvers to compare. Not keyed: it is shown and stored nowhere."""
    return "sha256:" + hashlib.sha256(canonical(document)).hexdigest()


def shown_json(value: Any) -> str:
    """One value as JSON on one line, in the same characters: it means the same, and is what it looks like."""
    return _plain(json.dumps(value, ensure_ascii=True))


def shown_word(text: str) -> str:
    """One word or name on one line, in the same characters, without the quotes."""
    return _plain(json.dumps(text, ensure_ascii=True)[1:-1])


def _plain(text: str) -> str:
    """JSON without what HTML and Markdown hide by: tags, entities, code, links. Outside of strings there is none of it."""
    return text.translate(_SPELLED).replace("](", "]\\u0028")


def shown_request(document: Mapping[str, Any]) -> list[str]:
    """Lines that tell a request as the daemon answers it: request, state, answers, missing, hidden, arguments."""
    request, arguments = document["request"], document["arguments"]
    undone = request.get("compensates")
    chain = ", by ".join(map(shown_word, request["principal_chain"]))
    return [
        f"approval   {shown_word(request['approval_id'])}  ({document['state']})",
        f"tool       {shown_word(request['capability_id'])}  ({request['mode']})",
        *([_shown_undone(undone)] if undone else []),
        *([_shown_change(request["modified_from"])] if "modified_from" in request else []),
        f"for        {chain}  in tenant {shown_word(request['tenant_id'])}",
        *(f"because    {shown_word(reason['message'])} [{shown_word(reason['code'])}]" for reason in request["reasons"]),
        f"asked      {request['requested_at']}, expires {request['expires_at']}",
        f"digest     {request['call_digest']}",
        *(["approver   only " + shown_word(request["required_approver"])] if request["required_approver"] else []),
        *_shown_answers(document),
        *(["routes     " + ", ".join(request["routes"])] if "routes" in request else []),
        *([f"reach      a yes may hold for all of run {shown_word(request['run_id'])}"] if _reaches_run(request) else []),
        *(["advisory   development gateway: an approval here proves nothing"] if request["advisory"] else []),
        *map(_shown_hidden, document["hidden"]),
        "arguments  " + _shown_digest(arguments, document["hidden"]),
        *("  " + line for line in shown_arguments(arguments).splitlines()),
    ]


def _shown_digest(arguments: Any, hidden: Sequence[Mapping[str, Any]]) -> str:
    if arguments is None:
        return "none are kept"
    return shown_digest(arguments) + (" of what is shown: a part is hidden, see above" if hidden else "")


def _shown_hidden(hidden: Mapping[str, Any]) -> str:
    where = shown_word(hidden["pointer"]) if hidden["pointer"] else "in many places"
    return f"hidden     {where}: {hidden['characters']} characters, sensitive by the tool's schema, {hidden['digest']}"


def _shown_undone(undone: Mapping[str, str]) -> str:
    return f"undoes     the call {shown_word(undone['envelope_id'])} of {shown_word(undone.get('capability_id', '?'))}"


def _shown_change(approval: str) -> str:
    return f"changed    by a person, in answer to {shown_word(approval)}; the reasons are those of the call as it was made"


def _reaches_run(request: Mapping[str, Any]) -> bool:
    """Whether a yes for a whole run could count."""
    return "run_id" in request and "modified_from" not in request


def shown_differences(old: Any, new: Any) -> list[str]:
    """Lines that tell each place where two documents of arguments differ, and what stands there in each."""
    return [
        f"change     {shown_word(pointer) or '(all)'}: {_shown_at(old, pointer)} -> {_shown_at(new, pointer)}"
        for pointer in differences(old, new)
    ]


def _shown_at(document: Any, pointer: str) -> str:
    found = [value for _, value in values_at(document, pointer)]
    return shown_json(found[0]) if found else "(nothing)"


def _shown_answers(document: Mapping[str, Any]) -> list[str]:
    quorum = document["request"].get("quorum")
    lines = [f"approved   by {shown_word(one['approver'])}" for one in document["answers"] if one["answer"] == "approve"]
    lines += [
        f"modified   by {shown_word(one['approver'])}, into {shown_word(one['modified_into'])}"
        for one in document["answers"]
        if one["answer"] == "modify"
    ]
    if quorum is None:
        return lines
    circle = f" of {', '.join(map(shown_word, quorum['of']))}" if quorum["of"] else ""
    return [f"quorum     {quorum['count']} different approvers{circle}; {document['missing']} still missing", *lines]
