"""What the policies may use: the builtins of OPA that the embedded engine has too, as `opa check --capabilities` wants them.

Left out as well: what makes a decision depend on more than its input and the settings (OPA marks these nondeterministic),
and what would write arguments somewhere. `python -m tests.policy.capabilities OPA` writes the file anew.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import regorus

FILE = Path(__file__).resolve().parents[1] / "opa" / "capabilities.json"
SYNTAX = {"internal.member_2", "internal.member_3"}  # what `in` is compiled to
WRITING = {"print", "trace"}
FEATURES = {"rego_v1"}


def shared(opa_binary: str) -> dict[str, Any]:
    """The capabilities that both engines have."""
    told = subprocess.run([opa_binary, "capabilities", "--current"], capture_output=True, check=True)
    theirs = json.loads(told.stdout)
    return {
        "builtins": [_declared(builtin) for builtin in theirs["builtins"] if _is_shared(builtin)],
        "features": sorted(FEATURES & set(theirs["features"])),
    }


def text(capabilities: dict[str, Any]) -> str:
    """One builtin a line."""
    builtins = ",\n".join("  " + json.dumps(builtin, sort_keys=True) for builtin in capabilities["builtins"])
    return f'{{"features": {json.dumps(capabilities["features"])}, "builtins": [\n{builtins}\n]}}\n'


def _declared(builtin: dict[str, Any]) -> dict[str, Any]:
    return {member: _bare(builtin[member]) for member in ("name", "decl", "infix", "relation") if member in builtin}


def _bare(value: Any) -> Any:
    """Without what is told to people only. The properties of an object are a list: none of them is lost."""
    if isinstance(value, dict):
        return {key: _bare(item) for key, item in value.items() if key not in {"description", "name"}}
    return [_bare(item) for item in value] if isinstance(value, list) else value


def _is_shared(builtin: dict[str, Any]) -> bool:
    if builtin.get("nondeterministic") or builtin.get("deprecated") or builtin["name"] in WRITING:
        return False
    return "infix" in builtin or builtin["name"] in SYNTAX or _embedded_has(builtin["name"], builtin["decl"].get("args", []))


def _embedded_has(name: str, parameters: list[Any]) -> bool:
    """regorus tells that it lacks a function only when it evaluates the call."""
    engine = regorus.Engine()
    engine.add_policy("call.rego", f"package call\n\nvalue := {name}({', '.join(['{}'] * len(parameters))})\n")
    try:
        engine.eval_rule_as_json("data.call.value")
    except Exception as error:  # noqa: BLE001 - that it does not take such arguments means it knows the function
        return "could not find function" not in str(error)
    return True


if __name__ == "__main__":
    FILE.write_text(text(shared(sys.argv[1])))
