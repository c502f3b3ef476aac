# METADATA
# title: Results and downgrades
# description: >-
#   What is taken out of a tool's results, how large they may be, and which arguments are changed before a call runs.
package sealgate.concerns.results

import data.sealgate.configured
import data.sealgate.settings

entry := configured.entry("results")

changes := settings.downgrades[input.resource.id]

# METADATA
# title: Why a call's results cannot be handled as the settings want
refusals contains {
	"code": "results.unreadable",
	"message": "The setting results has a form that policy does not know. Tell the operator to correct this tool's entry.",
} if {
	not configured.readable_entry("results", {"redact", "max_bytes"})
}

refusals contains {
	"code": "downgrades.unreadable",
	"message": "The setting downgrades has a form that policy does not know. Tell the operator to correct this tool's entry.",
} if {
	not readable_changes
}

readable_changes if {
	configured.readable("downgrades")
	not due_here
}

due_here if configured.exists(changes)

readable_changes if is_object(changes)

# METADATA
# title: What binds the gateway
obligations := object.union_n([redact, largest, modify])

redact := {"redact": entry.redact} if {
	configured.exists(entry.redact)
} else := {}

largest := {"max_result_bytes": entry.max_bytes} if {
	configured.exists(entry.max_bytes)
} else := {}

# Only what differs: the changed call is decided anew, and must then be free of this.
modify := {"modify": due} if {
	count(due) > 0
} else := {}

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
