"""Rego, two ways behind one port: `embedded` (regorus in a supervised helper process) and `opa` (a real OPA server)."""
