# METADATA
# title: Time windows
# description: >-
#   When a mode, a tool or the tools of an upstream may be used, in UTC. Every entry of the setting `windows` that names the
#   call must have a window that is open.
package sealgate.concerns.windows

import data.sealgate.configured
import data.sealgate.moment
import data.sealgate.settings

# METADATA
# title: Why not now
refusals contains {
	"code": "window.unreadable",
	"message": "The setting windows has a form that policy does not know. Tell the operator to correct it.",
} if {
	type_name(settings.windows)
	not readable
}

refusals contains {
	"code": "window.closed",
	"message": "This tool may not be used at this time. Try again when its window is open, or ask the operator to widen it.",
} if {
	type_name(settings.windows)
	some key in keys
	windows := settings.windows[key]
	not open(windows)
}

readable if is_object(settings.windows)

keys contains data.sealgate.modes.mode

keys contains input.resource.id

keys contains data.sealgate.configured.upstream_key

open(windows) if {
	is_array(windows)
	some window in windows
	configured.formed(window, {"days", "from", "to"})
	weekday in window.days
	is_minute(window.from)
	is_end(window.to)
	window.from <= minute
	minute < window.to
}

minute := substring(input.context.time, 11, 5) if time_known

weekday := time.weekday(time.parse_rfc3339_ns(input.context.time)) if time_known

time_known if moment.is_moment(input.context.time)

is_minute(text) if {
	is_string(text)
	regex.match(`^([01][0-9]|2[0-3]):[0-5][0-9]$`, text)
}

is_end(text) if is_minute(text)

is_end(text) if text == "24:00"
