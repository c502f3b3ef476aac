# METADATA
# title: Results and downgrades
# description: >-
#   What is taken out of a tool's results, how large they may be, and which arguments are changed before a call runs.
package sealgate.concerns.results

import data.sealgate.configured
import data.sealgate.settings

# METADATA
# title: What is said of the tool's results, else of those of its whole upstream
entry := found if {
	found := settings.results[input.resource.id]
} else := found if {
	found := settings.results[data.sealgate.configured.upstream_key]
}

changes := settings.downgrades[input.resource.id]

# METADATA
# title: Why a call's results or arguments cannot be handled as the settings want
refusals contains {
	"code": "results.unreadable",
	"message": "The setting results has a form that policy does not know. Tell the operator to correct this tool's entry.",
} if {
	type_name(settings.results)
	not readable
}

refusals contains {
	"code": "downgrades.unreadable",
	"message": "The setting downgrades has a form that policy does not know. Tell the operator to correct this tool's entry.",
} if {
	type_name(settings.downgrades)
	not readable_changes
}

readable if {
	is_object(settings.results)
	not unformed
}

unformed if {
	type_name(entry)
	not configured.formed(entry, {"redact", "max_bytes"})
}

readable_changes if {
	is_object(settings.downgrades)
	not unformed_changes
}

unformed_changes if {
	type_name(changes)
	not is_object(changes)
}

# METADATA
# title: What binds the gateway
obligations["redact"] := found if found := entry.redact

obligations["max_result_bytes"] := found if found := entry.max_bytes

# Only what differs: the changed call is decided anew, and must then be free of this.
obligations["modify"] := due if count(due) > 0

due[pointer] := value if {
	is_object(changes)
	some pointer, value in changes
	not has(pointer, value)
}

has(pointer, value) if object.get(input.context.arguments, steps(pointer), {"absent"}) == value

has(pointer, value) if object.get(input.context.arguments, numbered(steps(pointer)), {"absent"}) == value

# METADATA
# title: The steps of a JSON pointer (RFC 6901)
steps(pointer) := [replace(replace(step, "~1", "/"), "~0", "~") |
	some step in array.slice(split(pointer, "/"), 1, 1000)
]

# The same, as a list wants them.
numbered(steps) := [step_of(step) | some step in steps]

step_of(step) := to_number(step) if {
	regex.match(`^(0|[1-9][0-9]{0,8})$`, step)
} else := step
