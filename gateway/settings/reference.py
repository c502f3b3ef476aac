"""docs/reference/configuration.md: every key with its type, default and meaning, from the same types that check it."""

import json
from typing import Any

from gateway.settings.schema import json_schema

EXAMPLE = """\
# yaml-language-server: $schema=https://sealgate.dev/schema/gateway.schema.json
mcpServers:
  notes:
    command: python
    args: [examples/notes.py, ./notes]
  tickets:
    type: http
    url: https://tickets.example.com/mcp
    headers: {Authorization: "Bearer ${TICKETS_TOKEN}"}
functions:
  shop: {module: shop_tools.py}
openapi:
  planets:
    document: planets.yaml
    base_url: https://planets.example.com/v1
    headers: {X-API-Key: "${PLANETS_KEY}"}
agents:
  travel:
    card: https://travel.example.com/.well-known/agent-card.json
    headers: {Authorization: "Bearer ${TRAVEL_TOKEN}"}
upstreams:
  notes: {deadline_seconds: 10}
tools:
  - match: notes__read_*
    mode: read_only
  - match: notes__*
    mode: local_write
    owner: docs-team
  - match: [tickets__create_*, tickets__comment]
    mode: network
    egress: [tickets.example.com]
"""

_HEAD = f"""\
# gateway.yaml

This page is generated from the types that check the file (`sealgate config schema --markdown`).
`sealgate config validate` tells every mistake with its line, `sealgate config show --effective` every value and where it
comes from. `sealgate config schema` prints the JSON Schema.

```yaml
{EXAMPLE}```

**Precedence.** Flags go before environment variables, these before the file, the file before defaults. A variable is
`SEALGATE__` and the keys, joined by two underscores: `SEALGATE__LISTEN__PORT=9000`. Lists and whole blocks are written as
JSON: `SEALGATE__APPROVALS='{{"ttl_seconds": 60}}'`. A list replaces the list below it; blocks are merged key by key.

**Paths** that are relative start from the folder of the file, wherever they are written.

**Format.** YAML 1.2 (`yes` and `on` are text) or, in a file called `.json`, JSON: a client's own file with `mcpServers`
works as it is. A key may stand once; tags and merge keys are refused; 1 MiB is the limit.
"""

_BLOCKS = (
    ("", ""),
    ("listen", ""),
    ("listen.peers", "[]"),
    ("mcpServers", ".NAME"),
    ("functions", ".NAME"),
    ("openapi", ".NAME"),
    ("openapi.NAME.operations", ""),
    ("agents", ".NAME"),
    ("upstreams", ".NAME"),
    ("upstreams.NAME.sandbox", ""),
    ("upstreams.NAME.credentials", ""),
    ("tools", "[]"),
    ("retention", ""),
    ("policy", ""),
    ("approvals", ""),
    ("approvers", "[]"),
    ("callers", "[]"),
    ("auth", ""),
    ("auth.oauth", ""),
    ("auth.oauth.issuers", "[]"),
    ("limits", ""),
    ("log", ""),
    ("log.anchors", ""),
    ("log.anchors.timestamp", ""),
)


def reference_page() -> str:
    """The whole page."""
    schema = json_schema()
    pages = [_HEAD]
    for name, inside in _BLOCKS:
        pages.append(f"## {name or 'The file'}\n\n{_block(schema, name, inside)}")
    return "\n".join(pages)


def _block(schema: dict[str, Any], name: str, inside: str) -> str:
    text, block = "", schema
    if name:
        for part in name.replace(".NAME", "").split("."):
            field = block["properties"][part]
            block = _resolved(schema, field.get("items") or field.get("additionalProperties") or _set(field))
        texts = dict.fromkeys((field.get("description", block["description"]), block["description"]))
        text = " ".join(texts) + f"\n\nKeys of `{name}{inside}`:\n\n"
    required = block.get("required", [])
    rows = [
        (
            f"`{key}`",
            _type(schema, field),
            _default(field, required=key in required),
            _resolved(schema, field)["description"],
        )
        for key, field in block["properties"].items()
    ]
    table = "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in rows)
    return f"{text}| key | type | default | meaning |\n|---|---|---|---|\n{table}"


def _set(field: dict[str, Any]) -> dict[str, Any]:
    """What a field holds that may also be left out."""
    choices = [choice for choice in field.get("anyOf", ()) if "$ref" in choice]
    return choices[0] if choices else field


def _resolved(schema: dict[str, Any], field: Any) -> dict[str, Any]:
    if isinstance(field, dict) and "$ref" in field:
        return dict(schema["$defs"][field["$ref"].rpartition("/")[2]]) | {k: v for k, v in field.items() if k != "$ref"}
    return dict(field) if isinstance(field, dict) else {}


def _type(schema: dict[str, Any], field: Any) -> str:
    field = _resolved(schema, field)
    if "enum" in field:
        return ", ".join(f"`{word}`" for word in field["enum"])
    if "anyOf" in field:
        return " or ".join(_type(schema, choice) for choice in field["anyOf"] if choice.get("type") != "null")
    match field.get("type"):
        case "array":
            return f"list: {_type(schema, field['items'])}"
        case "object":
            return "block" if "properties" in field else f"names, each with {_type(schema, field['additionalProperties'])}"
        case "boolean":
            return "true or false"
        case "integer" | "number":
            low = f"above {field['exclusiveMinimum']}, at most" if "exclusiveMinimum" in field else f"{field['minimum']} to"
            return f"{'whole number' if field['type'] == 'integer' else 'number'}, {low} {field['maximum']}"
        case _:
            return "text"


def _default(field: dict[str, Any], *, required: bool) -> str:
    if required:
        return "required"
    default = field.get("default")
    return "" if default in (None, {}, []) or isinstance(default, dict) else f"`{json.dumps(default)}`"
