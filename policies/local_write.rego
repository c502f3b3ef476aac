# METADATA
# title: local_write
# description: Allowed with an idempotency key, so that a retry cannot write twice.
package sealgate.tiers.local_write

default decision := {
	"effect": "deny",
	"reasons": [{
		"code": "local_write.no_key",
		"message": "A write needs an idempotency key. Send one, the same on every retry.",
	}],
	"obligations": {},
}

decision := {
	"effect": "allow",
	"reasons": [{
		"code": "local_write.allowed",
		"message": "A local write with an idempotency key is allowed.",
	}],
	"obligations": {},
} if {
	input.context.idempotency.key == true
}
