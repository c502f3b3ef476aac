# METADATA
# title: Moments
# description: RFC 3339 in UTC with milliseconds, as the gateway writes every time. Text sorts like time only in one shape.
package sealgate.moment

is_moment(text) if {
	is_string(text)

	# No leap second: engines differ in whether that is a time.
	regex.match(`^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3])(:[0-5][0-9]){2}[.][0-9]{3}Z$`, text)
}
