package sealgate.moment_test

import data.sealgate.moment

test_the_gateway_s_own_form_is_a_moment if {
	moment.is_moment("2026-11-22T10:00:00.000Z")
}

test_every_other_form_is_none if {
	every odd in [
		"", "2026-11-22", "2026-11-22T10:00:00Z", "2026-11-22T10:00:00.000+00:00", "2026-11-22t10:00:00.000z",
		" 2026-11-22T10:00:00.000Z", "2026-11-22T10:00:00.000Z\n", "٢٠٢٦-11-22T10:00:00.000Z", 1764000000, null,
		"2026-13-22T10:00:00.000Z", "2026-00-22T10:00:00.000Z", "2026-11-32T10:00:00.000Z", "2026-11-22T24:00:00.000Z",
		"2026-11-22T10:60:00.000Z", "2026-11-22T10:00:60.000Z",
	] {
		not moment.is_moment(odd)
	}
}
