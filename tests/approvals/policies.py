"""A policy for these tests: the tool's text says what is wanted of approvers, as JSON."""

from pathlib import Path

POLICY = """package sealgate.authz

mode := input.resource.properties.mode

parts := split(input.context.arguments.text, " || ")

default obligations := {}

obligations := json.unmarshal(parts[1])

default decision := {"effect": "deny", "reasons": [{"code": "test.no", "message": "No."}], "obligations": {}}

decision := {"effect": "allow", "reasons": [], "obligations": {}} if mode == "read_only"

decision := {
	"effect": "ask",
	"reasons": [{"code": "test.ask", "message": "Somebody must look."}],
	"obligations": obligations,
} if {
	mode != "read_only"
}
"""


def write_policy(folder: Path) -> Path:
    """A policy folder in which every call but a read asks, with the obligations that stand after ` || ` in its text."""
    policies = folder / "policies"
    policies.mkdir()
    (policies / "authz.rego").write_text(POLICY)
    return policies
