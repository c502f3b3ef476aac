"""The tools of one module: its functions that the decorator marked, as MCP tool definitions that say their own mode."""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from gateway.core.seed import DECLARED
from gateway.functions.signature import Signature, Unusable, signature_of
from sealgate import Declared, declared_of


@dataclass(frozen=True, slots=True)
class FunctionTool:
    """A marked function and its definition as tools/list shows it."""

    function: Callable[..., Any]
    signature: Signature
    definition: dict[str, Any]


def load_module(name: str) -> ModuleType:
    """Import a file (`….py`) or a module that this Python has installed. A file finds what lies beside it, as a script does.

    Raises whatever the import raises.
    """
    if not name.endswith(".py"):
        return importlib.import_module(name)
    path = Path(name).resolve()
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no module")
    sys.path.insert(0, str(path.parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # hints that are text are looked up there
    spec.loader.exec_module(module)
    return module


def tools_of(module: ModuleType) -> Mapping[str, FunctionTool]:
    """The tools by name, in the order of the module. Raises `Unusable` where one cannot be a tool: none is passed over."""
    found: dict[str, FunctionTool] = {}
    for function in dict.fromkeys(value for value in vars(module).values() if inspect.isroutine(value)):
        declared = declared_of(function)
        if declared is None:
            continue
        name = declared.name or function.__name__
        if name in found:
            raise Unusable(f"two tools are called {name}")
        try:
            signature = signature_of(function)
        except Unusable as error:
            raise Unusable(f"{name} cannot be a tool: {error}") from error
        found[name] = FunctionTool(function, signature, _definition(name, function, declared, signature))
    if not found:
        raise Unusable("the module has no function marked with @tool")
    return found


def _definition(name: str, function: Callable[..., Any], declared: Declared, signature: Signature) -> dict[str, Any]:
    said = {
        "mode": declared.mode,
        "owner": declared.owner,
        "trust": declared.trust,
        "idempotency": declared.idempotency,
        "egress": list(declared.egress) or None,
    }
    definition: dict[str, Any] = {
        "name": name,
        "description": inspect.getdoc(function) or "",
        "inputSchema": signature.input_schema,
        "annotations": {
            "readOnlyHint": declared.mode == "read_only",
            "destructiveHint": declared.mode == "destructive",
        },
        "_meta": {DECLARED: {key: value for key, value in said.items() if value is not None}},
    }
    if signature.output_schema is not None:
        definition["outputSchema"] = signature.output_schema
    return definition
