"""From a function's signature to the schemas of a tool, and from JSON arguments to a call. Nothing is coerced.

Arguments are validated as JSON by pydantic in its strict mode: a text is no number. Where a hint wants what JSON has not (a
date, a UUID, a tuple), JSON's usual form of it is taken.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import NoneType
from typing import Any, get_type_hints

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError


class Unusable(Exception):
    """A function cannot be a tool; the text says why."""


@dataclass(frozen=True, slots=True)
class Signature:
    """`arguments` validates a call's arguments; `result` describes what is returned, where that has a schema of its own."""

    arguments: type[BaseModel]
    names: tuple[str, ...]
    result: TypeAdapter[Any] | None
    input_schema: dict[str, Any]
    output_schema: dict[str, Any] | None

    def read(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The function's keyword arguments. Raises `pydantic.ValidationError`."""
        read = self.arguments.model_validate_json(orjson.dumps(arguments), strict=True)
        return {name: getattr(read, _field(place)) for place, name in enumerate(self.names) if _was_given(read, place)}

    def written(self, value: Any) -> Any:
        """What was returned, as JSON has it. Raises `PydanticSerializationError` where it is not as declared."""
        if self.result is None:
            return TypeAdapter(Any).dump_python(value, mode="json", warnings="error")
        return self.result.dump_python(value, mode="json", by_alias=True, warnings="error")


def signature_of(function: Callable[..., Any]) -> Signature:
    """Read it. Raises `Unusable` where a hint is missing or has no JSON."""
    try:
        hints = get_type_hints(function, include_extras=True)
        parameters = inspect.signature(function).parameters.values()
    except (NameError, TypeError, ValueError) as error:
        raise Unusable(f"its type hints cannot be read: {error}") from error
    fields: dict[str, Any] = {}
    for place, parameter in enumerate(parameters):
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise Unusable(f"{parameter} cannot be given by name")
        if parameter.name not in hints:
            raise Unusable(f"{parameter.name} has no type hint")
        default = ... if parameter.default is parameter.empty else parameter.default
        # named by place: a model's own names (copy, schema, …) are names of parameters, too
        fields[_field(place)] = (hints[parameter.name], Field(default=default, alias=parameter.name))
    result = hints.get("return")
    try:
        arguments = create_model(
            "Arguments", __config__=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False), **fields
        )
        input_schema = _schema(TypeAdapter(arguments).json_schema(by_alias=True))
        described = None if result in (None, NoneType, Any, str) else TypeAdapter(result)
        output_schema = None if described is None else described.json_schema(by_alias=True, mode="serialization")
    except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError) as error:
        raise Unusable(f"a type hint has no JSON Schema: {str(error).splitlines()[0]}") from error
    if output_schema is not None and output_schema.get("type") != "object":
        output_schema = None  # structured content is an object (MCP 2025-11-25); other values are told as text
    names = tuple(parameter.name for parameter in parameters)
    return Signature(arguments, names, described, input_schema, None if output_schema is None else _schema(output_schema))


def _field(place: int) -> str:
    return f"at_{place}"


def _was_given(read: BaseModel, place: int) -> bool:
    return _field(place) in read.model_fields_set


def _schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Without the titles that pydantic makes of names: a model reads them, and they say nothing."""
    return {key: value for key, value in _untitled(schema).items() if key != "title"}


def _untitled(node: Any, *, names: bool = False) -> Any:
    """`names`: the keys of this object are names, not words of JSON Schema."""
    if isinstance(node, list):
        return [_untitled(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: value
        if key in ("default", "const", "enum", "examples") and not names
        else _untitled(value, names=not names and key in ("properties", "$defs", "patternProperties"))
        for key, value in node.items()
        if names or key != "title" or not isinstance(value, str)
    }
