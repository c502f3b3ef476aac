# METADATA
# title: Moments
# description: RFC 3339 in UTC with milliseconds, as the gateway writes every time. Text sorts like time only in one shape.
package sealgate.moment

is_moment(text) if {
	is_string(text)
	regex.match(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{3}Z$`, text)
}
