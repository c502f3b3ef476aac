# METADATA
# title: Delegation
# description: Whether the principal gave the caller the right to act in their name, for this tool, at this time.
package sealgate.concerns.delegation

import data.sealgate.moment

delegation := input.subject.properties.delegation

# METADATA
# title: Why the delegation does not carry this call
refusals contains {
	"code": "delegation.missing",
	"message": "This tool acts in a person's name and the caller has no delegation. Sign in with one and try again.",
} if {
	not delegated
}

refusals contains {
	"code": "delegation.wrong_subject",
	"message": "The delegation was given by somebody else than the principal of this call. Sign in with the right one.",
} if {
	delegated
	not own
}

refusals contains {
	"code": "delegation.expired",
	"message": "The delegation has expired, or its expiry cannot be read. Get a new one and try again.",
} if {
	delegated
	not unexpired
}

refusals contains {
	"code": "delegation.not_covered",
	"message": "The delegation does not cover this tool. Get one whose scope names the tool or its upstream.",
} if {
	delegated
	not covered
}

delegated if is_object(delegation)

own if delegation.subject == input.subject.id

unexpired if {
	moment.is_moment(delegation.expires_at)
	moment.is_moment(input.context.time)
	input.context.time < delegation.expires_at
}

covered if input.resource.id in delegation.scopes

covered if data.sealgate.configured.upstream_key in delegation.scopes
