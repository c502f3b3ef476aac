# METADATA
# title: network
# description: >-
#   Allowed when every host the tool is declared to reach is on the egress allow-list and the caller is within its
#   rate; otherwise a person is asked.
package sealgate.tiers.network

import data.sealgate.settings

decision := {
	"effect": "ask",
	"reasons": [reason | some reason in doubts],
	"obligations": {},
} if {
	count(doubts) > 0
} else := {
	"effect": "allow",
	"reasons": [{
		"code": "network.allowed",
		"message": "Every host this tool reaches is on the egress allow-list, and the caller is within its rate.",
	}],
	"obligations": {},
}

# METADATA
# title: Why a person is asked
doubts contains {
	"code": "network.egress_undeclared",
	"message": "Nobody declared which hosts this tool reaches. Ask the operator to add its egress, or have a person approve.",
} if {
	not egress_declared
}

doubts contains {
	"code": "network.host_not_allowed",
	"message": "This tool reaches a host that is not on the egress allow-list. Ask the operator to add it, or have a person approve.",
} if {
	some host in input.resource.properties.egress
	not allowed(host)
}

doubts contains {
	"code": "network.rate_exceeded",
	"message": "This caller made too many calls in the last minute. Wait a minute, or have a person approve.",
} if {
	not within_rate
}

# A rule of its own: `not host in settings.egress_allow` is undefined, and so no doubt, when there is no such setting.
allowed(host) if host in settings.egress_allow

egress_declared if count(input.resource.properties.egress) > 0

within_rate if {
	# In Rego every number is less than any string: a limit that is no number must not let calls through.
	is_number(settings.network_calls_per_minute)
	is_number(input.context.recent_calls)
	input.context.recent_calls < settings.network_calls_per_minute
}
