# METADATA
# title: delegated
# description: Needs a valid delegation by the principal that covers this tool, and then that principal's own approval.
package sealgate.tiers.delegated

delegation := input.subject.properties.delegation

decision := {
	"effect": "deny",
	"reasons": [reason | some reason in refusals],
	"obligations": {},
} if {
	count(refusals) > 0
} else := {
	"effect": "ask",
	"reasons": [{
		"code": "delegated.own_approval",
		"message": "This acts in the name of the person who delegated it. That person must approve.",
	}],
	"obligations": {"approver": concat(":", [input.subject.type, input.subject.id])},
}

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
	# Text sorts like time only when both have the same shape (RFC 3339, UTC, milliseconds).
	is_moment(delegation.expires_at)
	is_moment(input.context.time)
	input.context.time < delegation.expires_at
}

is_moment(text) if {
	is_string(text)
	regex.match(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{3}Z$`, text)
}

covered if input.resource.id in delegation.scopes

covered if concat("", [input.resource.properties.upstream, "__*"]) in delegation.scopes
