# METADATA
# title: destructive
# description: Always asks. The gateway takes the answer out of band, signed, from somebody who does not act in the call.
package sealgate.tiers.destructive

verdict := {
	"refusals": set(),
	"doubts": {{
		"code": "destructive.approval_required",
		"message": "This cannot be undone. Another person must approve it.",
	}},
	"grounds": [],
	"obligations": {},
}
