# METADATA
# title: Constraints on arguments
# description: >-
#   What the setting `constraints` says of a tool, or of all tools of its upstream, must hold for the declared fields of the
#   call. The gateway has brought their values to one form each. A declared constraint with nothing to check is a refusal.
package sealgate.concerns.arguments

import data.sealgate.configured
import data.sealgate.settings

members := {"paths", "hosts", "recipients", "max_amount", "ask_above", "optional"}

# METADATA
# title: What is said of the tool, else of its whole upstream
constraint := found if {
	found := settings.constraints[input.resource.id]
} else := found if {
	found := settings.constraints[data.sealgate.configured.upstream_key]
}

fields := input.context.fields

missing := {
	"path": "This tool is limited to some folders and the call names no path. Name one.",
	"host": "This tool is limited to some hosts and the call names none. Name one.",
	"recipient": "This tool is limited to some recipients and the call names none. Name one.",
	"amount": "This tool is limited in amount and the call names none. Name one.",
}

outside := {
	"path": "A path lies outside the folders this tool may use. Use one inside, or ask the operator to allow its folder.",
	"host": "A host is not among those this tool may use. Use another, or ask the operator to allow it.",
	"recipient": "A recipient is not among those this tool may use. Use another, or ask the operator to allow it.",
	"amount": "The amounts of this call are together more than this tool may move. Use less, or ask the operator to allow more.",
}

# METADATA
# title: Why the arguments are refused
refusals contains {
	"code": "arguments.unreadable",
	"message": "The setting constraints has a form that policy does not know. Tell the operator to correct this tool's entry.",
} if {
	type_name(settings.constraints)
	not readable
}

refusals contains {
	"code": concat("", ["arguments.", role, "_missing"]),
	"message": missing[role],
} if {
	type_name(settings.constraints)
	some role in constrained
	absent(role)
	not constraint.optional == true
}

refusals contains {
	"code": concat("", ["arguments.", role, "_not_allowed"]),
	"message": outside[role],
} if {
	type_name(settings.constraints)
	some role in constrained
	not absent(role)
	not within(role)
}

readable if {
	is_object(settings.constraints)
	not unformed
}

unformed if {
	type_name(constraint)
	not configured.formed(constraint, members)
}

# METADATA
# title: Why a person is asked about the arguments
doubts contains {
	"code": "arguments.amount_above",
	"message": "The amounts of this call are together more than this tool may move unasked. Use less, or have a person approve.",
} if {
	type_name(settings.constraints)
	type_name(constraint.ask_above)
	not absent("amount")
	not unasked
}

# METADATA
# title: The roles of fields that the tool is constrained in
constrained contains "path" if type_name(constraint.paths)

constrained contains "host" if type_name(constraint.hosts)

constrained contains "recipient" if type_name(constraint.recipients)

constrained contains "amount" if type_name(constraint.max_amount)

constrained contains "amount" if type_name(constraint.ask_above)

absent(role) if not present(role)

absent(role) if fields[role] == []

present(role) if type_name(fields[role])

within("path") if {
	is_array(fields.path)
	every path in fields.path {
		inside(path)
	}
}

within("host") if {
	is_array(fields.host)
	every host in fields.host {
		host in constraint.hosts
	}
}

within("recipient") if {
	is_array(fields.recipient)
	every recipient in fields.recipient {
		recipient in constraint.recipients
	}
}

within("amount") if {
	is_number(total)
	not capped
}

within("amount") if at_most(total, constraint.max_amount)

capped if type_name(constraint.max_amount)

unasked if at_most(total, constraint.ask_above)

inside(path) if {
	# A path in its one form has no such steps; with them, what begins like a folder may lie anywhere.
	steps := split(path, "/")
	not ".." in steps
	not "." in steps
	is_array(constraint.paths)
	some folder in constraint.paths
	contains_path(folder, path)
}

contains_path(folder, path) if {
	is_string(folder)
	folder != ""
	path == folder
}

contains_path(folder, path) if {
	# By whole steps: /srv/a does not contain /srv/ab.
	is_string(folder)
	folder != ""
	startswith(path, concat("", [trim_suffix(folder, "/"), "/"]))
}

# METADATA
# title: All amounts together
# description: By their size, so that one below zero makes no room for another.
total := sum([abs(amount) | some amount in fields.amount]) if {
	is_array(fields.amount)
	every amount in fields.amount {
		is_number(amount)
	}
}

at_most(amount, limit) if {
	# To a millionth: engines differ in how they add fractions.
	is_number(amount)
	is_number(limit)
	round(amount * 1000000) <= round(limit * 1000000)
}
