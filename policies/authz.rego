# METADATA
# title: Sealgate's authorization policy
# description: >-
#   Decides one tool call. Every concern says on its own what refuses the call, what makes it doubtful and what binds the
#   gateway; the call's approval mode names the tier that does the same. Here it is put together: any refusal is a deny, else
#   any doubt is a question to a person, else the call is allowed. A part that is missing or undefined makes its sum
#   undefined, and that is a deny.
package sealgate.authz

import data.sealgate.concerns.approvals

# Rules of other packages are written in full: of a package that is imported, the embedded engine evaluates every rule.
mode := input.resource.properties.mode

ranks := data.sealgate.modes.ranks

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

every_refusal := union({
	refusals,
	tier.refusals,
	data.sealgate.concerns.approvals.refusals,
	data.sealgate.concerns.arguments.refusals,
	data.sealgate.concerns.budgets.refusals,
	data.sealgate.concerns.flow.refusals,
	data.sealgate.concerns.intent.refusals,
	data.sealgate.concerns.results.refusals,
	data.sealgate.concerns.roles.refusals,
	data.sealgate.concerns.windows.refusals,
})

every_doubt := union({
	doubts,
	tier.doubts,
	data.sealgate.concerns.arguments.doubts,
	data.sealgate.concerns.flow.doubts,
})

every_obligation := object.union_n([
	obligations,
	data.sealgate.concerns.egress.obligations,
	data.sealgate.concerns.results.obligations,
])

# METADATA
# title: What the call's approval mode says
# description: "{refusals: set, doubts: set, grounds: [reason], obligations: object}"
tier := data.sealgate.tiers.read_only.verdict if {
	mode == "read_only"
} else := data.sealgate.tiers.local_write.verdict if {
	mode == "local_write"
} else := data.sealgate.tiers.network.verdict if {
	mode == "network"
} else := data.sealgate.tiers.delegated.verdict if {
	mode == "delegated"
} else := data.sealgate.tiers.destructive.verdict if {
	mode == "destructive"
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

known_mode if ranks[mode] >= 0

within_ceiling if ranks[mode] <= ranks[input.context.run.mode_ceiling]

is_agent if "agent" in input.subject.properties.roles
