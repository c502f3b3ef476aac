# METADATA
# title: Sealgate's authorization policy
# description: >-
#   Decides one tool call. Every concern says on its own what refuses the call, what makes it doubtful and what binds the
#   gateway; the call's approval mode names the tier that does the same. Here it is put together: any refusal is a deny, else
#   any doubt is a question to a person, else the call is allowed. A part that is missing or undefined makes its sum
#   undefined, and that is a deny.
package sealgate.authz

import data.sealgate.concerns.approvals
import data.sealgate.settings

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
	"obligations": asked_obligation,
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

every_refusal := union({refusals, tier.refusals, intent_refusals, flow_refusals, configured_refusals})

every_doubt := union({doubts, tier.doubts, flow_doubts, configured_doubts})

every_obligation := {name: value |
	some part in binding
	some name, value in part
} if {
	is_array(binding)
}

# What binds in two ways is an error in both engines, where a union would let the last one win.
binding := [obligations, tier.obligations, configured_obligations]

asked_obligation := {name: value |
	some part in asking
	some name, value in part
} if {
	is_array(asking)
}

asking := [every_obligation, approvals.obligations(every_doubt)]

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

refusals contains {
	"code": "always_ask.unreadable",
	"message": "The setting always_ask has a form that policy does not know. Tell the operator to correct it.",
} if {
	type_name(settings.always_ask)
	not is_array(settings.always_ask)
}

refusals contains {
	"code": "setting.unknown",
	"message": "The policy settings hold a name that no rule reads, so a limit may be missing. Tell the operator to correct it.",
} if {
	not settings_known
}

# METADATA
# title: Why a person is asked whatever the approval mode
# description: Rules of your own in this package add to it.
doubts contains {
	"code": "always_ask.listed",
	"message": "This is one of the actions that always need a person, however sure the caller is. Have a person approve.",
} if {
	is_listed
}

is_listed if input.resource.properties.tool in settings.always_ask

is_listed if input.resource.id in settings.always_ask

# METADATA
# title: What binds the gateway whatever the approval mode
# description: Rules of your own in this package add to it; two that give one name different values are an error, so a deny.
obligations[name] := value if {
	some name, value in {}
}

mode := input.resource.properties.mode

ranks := data.sealgate.modes.ranks

known_mode if ranks[mode] >= 0

is_read if mode == "read_only"

within_ceiling if ranks[mode] <= ranks[input.context.run.mode_ceiling]

is_agent if "agent" in input.subject.properties.roles

settings_known if count(unknown_settings) == 0

# METADATA
# title: Settings that no rule reads
# description: A mistyped name would mean no limit. The gateway does not load policies with one; an OPA server denies all calls.
unknown_settings := object.keys(settings) - known_settings if has_settings

unknown_settings := set() if not has_settings

# METADATA
# title: The names of all settings
# description: What rules of your own read belongs below `own`, where names are not checked.
known_settings := {
	"always_ask",
	"approvals",
	"budgets",
	"constraints",
	"delegated_evidence",
	"downgrades",
	"egress_allow",
	"flow",
	"network_calls_per_minute",
	"own",
	"pin_egress",
	"results",
	"tenants",
	"windows",
}

# To name a rule of another package costs time, so what has nothing to say of a call is left out. Both cases of each are
# written out: with a plain `else`, a concern whose file is missing would be one that has nothing to say. And the rules are
# named in full: of a package that is imported, the embedded engine evaluates every rule.

intent_refusals := set() if is_read

intent_refusals := data.sealgate.concerns.intent.refusals if not is_read

clean if input.context.provenance.tainted == false

flow_refusals := set() if clean

flow_refusals := data.sealgate.concerns.flow.refusals if not clean

flow_doubts := set() if clean

flow_doubts := data.sealgate.concerns.flow.doubts if not clean

# METADATA
# title: The concerns that the settings mention
mentioned := object.keys(settings) & {
	"approvals",
	"budgets",
	"constraints",
	"downgrades",
	"pin_egress",
	"results",
	"tenants",
	"windows",
}

mentioned := set() if not has_settings

has_settings if type_name(settings)

nothing_mentioned if count(mentioned) == 0

configured_refusals := set() if nothing_mentioned

configured_refusals := union({
	data.sealgate.concerns.approvals.refusals,
	data.sealgate.concerns.arguments.refusals,
	data.sealgate.concerns.budgets.refusals,
	data.sealgate.concerns.results.refusals,
	data.sealgate.concerns.roles.refusals,
	data.sealgate.concerns.windows.refusals,
}) if {
	not nothing_mentioned
}

configured_doubts := set() if nothing_mentioned

configured_doubts := data.sealgate.concerns.arguments.doubts if not nothing_mentioned

configured_obligations := {} if nothing_mentioned

configured_obligations := object.union_n([
	data.sealgate.concerns.egress.obligations,
	data.sealgate.concerns.results.obligations,
]) if {
	not nothing_mentioned
}
