# METADATA
# title: local_write
# description: Allowed with an idempotency key, so that a retry cannot write twice.
package sealgate.tiers.local_write

verdict := {
	"refusals": refusals,
	"doubts": set(),
	"grounds": [{
		"code": "local_write.allowed",
		"message": "A local write with an idempotency key is allowed.",
	}],
	"obligations": {},
}

refusals contains {
	"code": "local_write.no_key",
	"message": "A write needs an idempotency key. Send one, the same on every retry.",
} if {
	not input.context.idempotency.key == true
}
