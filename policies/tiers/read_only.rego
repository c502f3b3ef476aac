# METADATA
# title: read_only
# description: Allowed, and recorded like every call.
package sealgate.tiers.read_only

verdict := {
	"refusals": set(),
	"doubts": set(),
	"grounds": [{
		"code": "read_only.allowed",
		"message": "Reading is allowed.",
	}],
	"obligations": {},
}
