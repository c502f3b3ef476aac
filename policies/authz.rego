# METADATA
# title: Sealgate's authorization policy
# description: >-
#   Decides one tool call. Every concern says on its own what refuses the call, what makes it doubtful and what binds the
#   gateway; the call's approval mode names the tier that does the same. Here it is put together: any refusal is a deny, else
#   any doubt is a question to a person, else the call is allowed. A part that is missing or undefined makes its sum
#   undefined, and that is a deny.
package sealgate.authz

# One import per package: an engine that meets `data.sealgate.tiers` evaluates every tier in it.
import data.sealgate.concerns.approvals
import data.sealgate.concerns.arguments
import data.sealgate.concerns.budgets
import data.sealgate.concerns.egress
import data.sealgate.concerns.flow
import data.sealgate.concerns.intent
import data.sealgate.concerns.results
import data.sealgate.concerns.roles
import data.sealgate.concerns.windows
import data.sealgate.modes
import data.sealgate.tiers.delegated
import data.sealgate.tiers.destructive
import data.sealgate.tiers.local_write
import data.sealgate.tiers.network
import data.sealgate.tiers.read_only

default decision := {
	"effect": "deny",
	"reasons": [{
		"code": "policy.no_rule",
		"message": "No rule allows this call. Ask the operator to add one for this tool's approval mode.",
	}],
	"obligations": {},
}

# Each body says all it needs: what is undefined further up must not let a call fall through to a milder answer.

# METADATA
# title: The decision document
# description: "{effect: allow|ask|deny, reasons: [{code, message}], obligations: {name: value}}"
# entrypoint: true
decision := {
	"effect": "deny",
	"reasons": [reason | some reason in every_refusal],
	"obligations": {},
} if {
	count(every_refusal) > 0
} else := {
	"effect": "ask",
	"reasons": [reason | some reason in every_doubt],
	"obligations": object.union(every_obligation, approvals.obligations(every_doubt)),
} if {
	count(every_refusal) == 0
	count(every_doubt) > 0
} else := {
	"effect": "allow",
	"reasons": tier.grounds,
	"obligations": every_obligation,
} if {
	count(every_refusal) == 0
	count(every_doubt) == 0
}

every_refusal := (((((refusals | tier.refusals) | roles.refusals) | arguments.refusals) | budgets.refusals) | windows.refusals) | (((intent.refusals | flow.refusals) | results.refusals) | approvals.refusals)

every_doubt := ((doubts | tier.doubts) | arguments.doubts) | flow.doubts

every_obligation := object.union_n([tier.obligations, egress.obligations, results.obligations, obligations])

# METADATA
# title: What the call's approval mode says
# description: "{refusals: set, doubts: set, grounds: [reason], obligations: object}"
tier := read_only.verdict if {
	modes.mode == "read_only"
} else := local_write.verdict if {
	modes.mode == "local_write"
} else := network.verdict if {
	modes.mode == "network"
} else := delegated.verdict if {
	modes.mode == "delegated"
} else := destructive.verdict if {
	modes.mode == "destructive"
} else := {"refusals": set(), "doubts": set(), "grounds": [], "obligations": {}} if {
	not known_mode # refused below
}

# METADATA
# title: Why a call is denied whatever its approval mode
# description: Rules of your own in this package add to it.
refusals contains {
	"code": "mode.unknown",
	"message": "This tool has no approval mode that policy knows. Ask the operator to classify it.",
} if {
	not known_mode
}

refusals contains {
	"code": "mode.above_ceiling",
	"message": "This run allows itself only lower approval modes. Use another tool, or start a run with a higher ceiling.",
} if {
	known_mode
	not within_ceiling
}

refusals contains {
	"code": "subject.not_agent",
	"message": "This caller may not call tools: it lacks the role agent. Ask the operator to grant it.",
} if {
	not is_agent
}

# METADATA
# title: Why a person is asked whatever the approval mode
# description: Rules of your own in this package add to it.
doubts contains doubt if some doubt in tier.doubts

# METADATA
# title: What binds the gateway whatever the approval mode
# description: Rules of your own in this package add to it; two that give one name different values are an error, so a deny.
obligations[name] := value if some name, value in tier.obligations

known_mode if modes.ranks[modes.mode] >= 0

within_ceiling if modes.ranks[modes.mode] <= modes.ranks[input.context.run.mode_ceiling]

is_agent if "agent" in input.subject.properties.roles
