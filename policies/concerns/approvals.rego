# METADATA
# title: Approvals
# description: Who must approve and how an answer may come, for each mode, where the settings say more than the tiers do.
package sealgate.concerns.approvals

import data.sealgate.configured
import data.sealgate.settings

# METADATA
# title: Doubts that one yes may settle for a whole run
# description: >-
#   They are about the tool or the caller, not about what this one call says. Rules of your own in this package add to it.
run_wide contains "network.egress_undeclared"

run_wide contains "network.host_not_allowed"

run_wide contains "network.rate_exceeded"

# METADATA
# title: Why nobody can be asked
refusals contains {
	"code": "approvals.unreadable",
	"message": "The setting approvals has a form that policy does not know. Tell the operator to correct it.",
} if {
	type_name(settings.approvals)
	not readable
}

readable if {
	configured.formed(settings.approvals, {"quorum", "routes", "run"})
	configured.formed(object.get(settings.approvals, "quorum", {}), data.sealgate.modes.names)
	configured.formed(object.get(settings.approvals, "routes", {}), data.sealgate.modes.names)
}

# METADATA
# title: What binds the approvers of a call with these doubts
obligations(doubts) := object.union_n([quorum, routes, reach(doubts)])

quorum := {"quorum": found} if {
	found := settings.approvals.quorum[data.sealgate.modes.mode]
} else := {}

routes := {"routes": found} if {
	found := settings.approvals.routes[data.sealgate.modes.mode]
} else := {}

offered if {
	settings.approvals.run == true
	data.sealgate.modes.mode in {"local_write", "network"}
}

reach(doubts) := {"approve_for": "run"} if {
	offered
	every doubt in doubts {
		doubt.code in run_wide
	}
} else := {}
