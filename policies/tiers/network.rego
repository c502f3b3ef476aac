# METADATA
# title: network
# description: >-
#   Allowed when every host the tool is declared to reach, and every host among the call's arguments, is on the egress
#   allow-list and the caller is within its rate; otherwise a person is asked.
package sealgate.tiers.network

import data.sealgate.settings

verdict := {
	"refusals": data.sealgate.concerns.egress.refusals,
	"doubts": data.sealgate.concerns.egress.doubts | doubts,
	"grounds": [{
		"code": "network.allowed",
		"message": "Every host this call reaches is on the egress allow-list, and the caller is within its rate.",
	}],
	"obligations": {},
}

doubts contains {
	"code": "network.rate_exceeded",
	"message": "This caller made too many calls in the last minute. Wait a minute, or have a person approve.",
} if {
	not within_rate
}

within_rate if {
	# In Rego every number is less than any string: a limit that is no number must not let calls through.
	is_number(settings.network_calls_per_minute)
	is_number(input.context.recent_calls)
	input.context.recent_calls < settings.network_calls_per_minute
}
