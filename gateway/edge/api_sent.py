"""What is sent to `/api/v1`: queries and bodies. Their schemas are in the OpenAPI document as they are here.

A query's values are texts, so each is read by its own rule: digits are a number, `true` and `false` a truth value.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, JsonValue, RootModel
from pydantic.json_schema import SkipJsonSchema, WithJsonSchema

from gateway.core import wire
from gateway.core.modification import MAX_CHANGES
from gateway.edge.api_route import Document

MAX_PAGE = 1000
MAX_TOOLS = 9_000  # a body has at most 10,000 keys
_DIGITS = re.compile("[0-9]{1,15}")


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, str) and _DIGITS.fullmatch(value) else value


def _truth(value: Any) -> Any:
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


_Digits = BeforeValidator(_number)
Place = Annotated[int, Field(ge=0, lt=10**15), _Digits]
Limit = Annotated[int, Field(ge=1, le=MAX_PAGE, description="At most so many in one answer."), _Digits]
Truth = Annotated[bool, BeforeValidator(_truth)]
Name = Annotated[str, Field(min_length=1, max_length=128)]
JSON_NAME = "Json"
JSON_SCHEMA: dict[str, Any] = {
    "description": "Any JSON, as strictly as everything is read here: numbers within ±(2^53−1), at most 64 levels deep.",
    "anyOf": [
        {"type": ["null", "boolean", "string"]},
        {"type": "number", "minimum": -wire.MAX_SAFE_INTEGER, "maximum": wire.MAX_SAFE_INTEGER},
        {"type": "array", "items": {"$ref": f"#/components/schemas/{JSON_NAME}"}},
        {"type": "object", "additionalProperties": {"$ref": f"#/components/schemas/{JSON_NAME}"}},
    ],
}
_MEMBERS = {"type": "object", "additionalProperties": {"$ref": f"#/components/schemas/{JSON_NAME}"}}
JsonObject = Annotated[dict[str, JsonValue], WithJsonSchema(_MEMBERS)]
Pointer = Annotated[str, Field(pattern=r"^(/[^/]{1,128}){1,16}$")]
TILE_PATTERN = r"^tile/(entries|[0-9]|[1-5][0-9]|6[0-3])/(x[0-9]{3}/){0,4}[0-9]{3}(\.p/[1-9][0-9]{0,2})?$"


class ToolQuery(Document):
    id: Annotated[str, Field(description="The tool: `server__name`.")]


class ApprovalsQuery(Document):
    all: Annotated[Truth, Field(description="Answered and expired ones, too.")] = False


class EntriesQuery(Document):
    start: Annotated[Place, Field(description="The first place in the log.")] = 0
    limit: Limit = MAX_PAGE
    naming: Annotated[
        str | None,
        # In a URL it is twelve times as long at worst, and a request target has 8 KiB (`connections.py`).
        Field(max_length=512, description="Only entries whose payload holds this text, and perhaps a few others."),
    ] = None


class CheckpointsQuery(Document):
    start: Annotated[Place, Field(description="The smallest size.")] = 0
    limit: Limit = MAX_PAGE


class AnchoredQuery(Document):
    below: Annotated[Place | None, Field(description="Only checkpoints of fewer entries.")] = None
    limit: Limit = 100


class CheckpointQuery(Document):
    cosigned: Annotated[Truth, Field(description="The newest that a witness cosigned.")] = False


class TileQuery(Document):
    name: Annotated[str, Field(pattern=TILE_PATTERN, description="A path of C2SP tlog-tiles, such as `tile/0/000.p/7`.")]


class LastQuery(Document):
    last: Annotated[int, Field(ge=1, le=999), _Digits]


class ToolsShown(Document):
    """What was looked at: the digest of each tool's definition. One that is another by now is not approved."""

    tools: Annotated[dict[str, str], Field(max_length=MAX_TOOLS)]


class SignedAnswer(Document):
    """An approver's answer, signed by their own key for the route `webhook`: a DSSE envelope, or `payload` with `sshsig`."""

    envelope: JsonObject


class Changes(Document):
    """New values for places in the arguments, by JSON pointer."""

    changes: Annotated[
        dict[Pointer, JsonValue],
        Field(min_length=1, max_length=MAX_CHANGES),
        WithJsonSchema(
            {
                **_MEMBERS,
                "minProperties": 1,
                "maxProperties": MAX_CHANGES,
                "propertyNames": {"pattern": "^(/[^/]{1,128}){1,16}$"},
            }
        ),
    ]


class Verdict(Document):
    """How a call in doubt ended, as somebody found out. `reason` enters the log in clear."""

    verdict: Literal["completed", "failed"]
    reason: Annotated[str, Field(min_length=1, max_length=1000, pattern=r"\S")]
    result: Annotated[
        JsonValue,
        WithJsonSchema({"anyOf": [_MEMBERS, {"type": "null"}]}),
        Field(description="The MCP tool result that retries get. Only of a call that was completed."),
    ] = None
    by: SkipJsonSchema[Annotated[Name, Field(pattern=r"\S")] | None] = None


class RollBack(Document):
    """Which kept policies: a revision, the beginning of one, or a name; null: those before the ones in force."""

    revision: Annotated[str, Field(max_length=256)] | None


class StoredApiKey(RootModel[dict[str, JsonValue]]):
    """An API key as it is stored, without its text."""


class ErasureOrder(Document):
    """Whose values, why, and who says so. `reason` and `by` enter the log in clear."""

    subject: str
    reason: str
    by: str
