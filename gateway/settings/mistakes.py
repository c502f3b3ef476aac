"""How a mistake is told: where it is, what is wrong, what to write instead.

A value that may be a secret (command lines, addresses, environment, headers, token hashes) is never repeated in a message.
"""

import json
import re
from difflib import get_close_matches
from types import UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from gateway.settings.model import Configuration
from gateway.settings.yaml_source import Loc, printable

_NOUNS = {
    "mode": "an approval mode",
    "trust": "a trust level",
    "idempotency": "an idempotency rule",
    "engine": "a policy engine",
    "type": "a kind of server",
    "roles": "a role",
    "scopes": "a role",
    "algorithms": "an algorithm",
    "at_boot": "a rule for the start",
    "sandbox": "a kind of sandbox",
    "credentials": "a kind of credentials",
}


MAY_HOLD_SECRETS = (("env",), ("headers",), ("query",), ("document",), ("base_url",), ("card",))
"""Keys of `functions`, `openapi` and `agents`."""


class Mistake(NamedTuple):
    """What is wrong at `loc`. `at_key`: it is the key that is wrong, not its value."""

    loc: Loc
    text: str
    at_key: bool = False


def validation_mistakes(error: ValidationError) -> list[Mistake]:
    """The mistakes in a pydantic error, worded."""
    return [
        _worded(details)
        for details in error.errors(include_url=False)
        if details["type"] != "default_factory_not_called"  # both follow from another mistake
        and not (details["type"] == "too_short" and details["input"])
    ]


def spelled(loc: Loc, *, hide_names: bool = False) -> str:
    """`loc` as people write it: tools[0].mode. `hide_names`: a credential may have slipped into a header's name."""
    text = ""
    for place, part in enumerate(loc):
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        name = part
        if re.fullmatch(r"[$\w-]{1,64}", part, re.ASCII) is None:
            name = (
                "(hidden)"
                if hide_names and loc[0] in ("mcpServers", "functions", "openapi", "agents") and place > 2
                else f'"{printable(part)}"'
            )
        text += f".{name}" if text else name
    return text


def shown(value: Any) -> str:
    """`value` as JSON, shortened, with nothing in it that acts on a terminal."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else text[:79] + "…"


def is_secret(loc: Loc) -> bool:
    """Whether the value at `loc` may be a secret, or hold one."""
    if loc[:1] == ("mcpServers",):
        return loc[2:] != ("type",)
    if loc[:1] == ("upstreams",):
        return loc[2:3] == ("credentials",) and loc[-1] != "kind"
    if loc[:1] in (("functions",), ("openapi",), ("agents",)):
        return loc[2:3] in MAY_HOLD_SECRETS
    return (loc[:1] == ("callers",) and loc[-1] == "token_sha256") or is_webhook_url(loc)


def is_webhook_url(loc: Loc) -> bool:
    """Whether it is an address whose path may be a credential."""
    return loc[:2] == ("approvals", "webhooks") and loc[-1] == "url"


def nearest(wrong: str, allowed: list[str]) -> str | None:
    """The allowed word that `wrong` was probably meant to be."""
    folded = {word.casefold(): word for word in allowed}
    found = get_close_matches(wrong.casefold(), folded, n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def unknown_key(key: str, allowed: list[str]) -> str:
    """What to say of a key that does not exist."""
    close = nearest(key, allowed)
    return f'unknown key. Did you mean "{close}"?' if close else f"unknown key. The keys here are: {', '.join(allowed)}."


def _worded(details: ErrorDetails) -> Mistake:
    loc: Loc = tuple(details["loc"])
    if loc[-1:] == ("[key]",):
        key = shown(details["input"]) if len(loc) == 3 else "this name"  # deeper: names of headers and variables
        return Mistake(loc[:-1], f"{key} {_cause(details)}", at_key=True)
    match details["type"]:
        case "extra_forbidden":
            block = model_at(loc[:-1])
            return Mistake(loc, unknown_key(str(loc[-1]), list(block.model_fields) if block else []), at_key=True)
        case "missing":
            return Mistake(loc, f"is missing. {_what_to_write(loc)}")
        case _:
            return Mistake(loc, _about_value(loc, details))


def _about_value(loc: Loc, details: ErrorDetails) -> str:
    value = details["input"]
    text = _text_of(loc, details)
    if value is None:
        return f"is empty. {text.partition('. ')[2] or _what_to_write(loc)}"
    if isinstance(value, (dict, list, tuple)):
        return text
    return f"{'this value' if is_secret(loc) else shown(value)} {text}"


def _text_of(loc: Loc, details: ErrorDetails) -> str:
    kind = details["type"]
    match kind:
        case "value_error":
            return _cause(details)
        case "enum" | "literal_error":
            noun = next((_NOUNS[part] for part in reversed(loc) if part in _NOUNS), "allowed here")
            return f"is not {noun}. {_one_of(details)}"
        case "string_type":
            return _not_text(details["input"])
        case "model_type" | "dict_type" | "model_attributes_type":
            return "is not a block. Write keys with their values below it."
        case "tuple_type":
            return "is not a list. Write [a, b], or one value a line after a dash."
        case "bool_type":
            return "is not a flag. Write true or false."
        case "too_short" | "string_too_short":
            return "is empty. Write at least one value."
    if kind.startswith(("int_", "float_", "greater_", "less_", "finite_")):
        whole = field_at(loc) is None or kind.startswith("int_")
        wrong = "is out of range" if kind.startswith(("greater_", "less_", "finite_")) else None
        return f"{wrong or ('is not a whole number' if whole else 'is not a number')}. {_range(loc)}"
    return f"cannot stand here: {details['msg']}."


def _not_text(value: Any) -> str:
    if isinstance(value, dict | list):
        return "is not text. Write one value."
    kind = "true or false" if isinstance(value, bool) else "a number"
    return f"is {kind}, not text. Put it in quotes."


def _cause(details: ErrorDetails) -> str:
    return str(details.get("ctx", {}).get("error", details["msg"]))


def _one_of(details: ErrorDetails) -> str:
    words = re.findall(r"'([^']*)'", str(details.get("ctx", {}).get("expected", "")))
    return f"Write one of: {', '.join(words)}"


def _what_to_write(loc: Loc) -> str:
    """The advice for a value that is not there."""
    field = field_at(loc)
    if field is None:
        return "Write a value, or leave the key out."
    if field.examples:
        return f"Write for example: {loc[-1]}: {field.examples[0]}"
    words = [str(member.value) for member in getattr(field.annotation, "__members__", {}).values()]
    return f"Write one of: {', '.join(words)}" if words else "Write a value, or leave the key out."


def _range(loc: Loc) -> str:
    field = field_at(loc)
    bounds = field.metadata if field is not None else []
    low = next((bound for bound in bounds if isinstance(bound, Ge | Gt)), None)
    high = next((bound.le for bound in bounds if isinstance(bound, Le)), None)
    if low is None or high is None:
        return "Write a number."
    if isinstance(low, Gt):
        return f"Write a number above {low.gt}, at most {high}."
    return f"Write a number from {low.ge} to {high}."


def field_at(loc: Loc) -> FieldInfo | None:
    """The field at `loc`, if it is one."""
    block = model_at(loc[:-1])
    return block.model_fields.get(str(loc[-1])) if block is not None and loc else None


def model_at(loc: Loc) -> type[BaseModel] | None:
    """The block at `loc`, if it is one."""
    here: Any = Configuration
    for part in loc:
        if isinstance(here, type) and issubclass(here, BaseModel):
            field = here.model_fields.get(str(part))
            here = _block_of(field.annotation) if field is not None else None
        elif get_origin(here) is dict:
            here = get_args(here)[1]
        elif get_origin(here) is tuple:
            here = get_args(here)[0]
        else:
            return None
    return here if isinstance(here, type) and issubclass(here, BaseModel) else None


def _block_of(annotation: Any) -> Any:
    """The block in `Block | None`; anything else as it is."""
    if get_origin(annotation) in (UnionType, Union):
        return next((kind for kind in get_args(annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
    return annotation
