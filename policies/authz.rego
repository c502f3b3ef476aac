# METADATA
# title: Sealgate's authorization policy
# description: >-
#   Decides one tool call. What holds for every call comes first; then the call's approval mode names the file that
#   decides. A rule that is not there, or does not apply, is a deny.
package sealgate.authz

# One import per package: an engine that meets `data.sealgate.tiers` evaluates every tier in it.
import data.sealgate.tiers.delegated
import data.sealgate.tiers.destructive
import data.sealgate.tiers.local_write
import data.sealgate.tiers.network
import data.sealgate.tiers.read_only

ranks := {
	"read_only": 0,
	"local_write": 1,
	"network": 2,
	"delegated": 3,
	"destructive": 4,
}

mode := input.resource.properties.mode

ceiling := input.context.run.mode_ceiling

default decision := {
	"effect": "deny",
	"reasons": [{
		"code": "policy.no_rule",
		"message": "No rule allows this call. Ask the operator to add one for this tool's approval mode.",
	}],
	"obligations": {},
}

# METADATA
# title: The decision document
# description: "{effect: allow|ask|deny, reasons: [{code, message}], obligations: {}}"
# entrypoint: true
decision := {
	"effect": "deny",
	"reasons": [reason | some reason in refusals],
	"obligations": {},
} if {
	count(refusals) > 0
} else := read_only.decision if {
	mode == "read_only"
} else := local_write.decision if {
	mode == "local_write"
} else := network.decision if {
	mode == "network"
} else := delegated.decision if {
	mode == "delegated"
} else := destructive.decision if {
	mode == "destructive"
}

# METADATA
# title: Why a call is denied whatever its approval mode
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

known_mode if ranks[mode] >= 0

within_ceiling if ranks[mode] <= ranks[ceiling]

is_agent if "agent" in input.subject.properties.roles
