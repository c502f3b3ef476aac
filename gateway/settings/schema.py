"""The JSON Schema (2020-12) of gateway.yaml, for editors: completion, hover texts, marks under mistakes.

Published as docs/reference/gateway.schema.json; `sealgate config schema` prints it. It says no to nothing that
`load_settings` accepts in a file; rules across blocks, and what `${VAR}` becomes, only `load_settings` can tell.
"""

import json
from typing import Any

from gateway.settings.model import Configuration

SCHEMA_ID = "https://sealgate.dev/schema/gateway.schema.json"


def json_schema() -> dict[str, Any]:
    """The schema as a document."""
    schema: dict[str, Any] = _without_titles(Configuration.model_json_schema())
    schema["properties"] = {"$schema": {"type": "string", "description": "This schema, for editors."}} | schema["properties"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID, "title": "gateway.yaml"} | schema


def json_schema_text() -> str:
    """The schema as the published file."""
    return json.dumps(json_schema(), indent=2) + "\n"


def _without_titles(node: Any) -> Any:
    """`node` without the titles pydantic derives from names; patterns of keys become `propertyNames`."""
    if isinstance(node, list):
        return [_without_titles(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {key: _without_titles(value) for key, value in node.items() if not (key == "title" and isinstance(value, str))}
    patterns = kept.pop("patternProperties", None)
    if isinstance(patterns, dict):  # alone it lets every other key pass
        ((pattern, values),) = patterns.items()
        kept |= {"propertyNames": {"pattern": pattern}, "additionalProperties": values}
    return kept
