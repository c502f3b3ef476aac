# METADATA
# title: read_only
# description: Allowed, and recorded like every call.
package sealgate.tiers.read_only

decision := {
	"effect": "allow",
	"reasons": [{
		"code": "read_only.allowed",
		"message": "Reading is allowed.",
	}],
	"obligations": {},
}
