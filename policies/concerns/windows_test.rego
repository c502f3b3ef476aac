package sealgate.concerns.windows_test

import data.sealgate.fixture

office := [{"days": ["Monday", "Tuesday"], "from": "08:00", "to": "18:00"}]

# 2026-11-22 is a Sunday, 2026-11-23 a Monday.
at(time, windows) := fixture.decision(fixture.changed("local_write", "/context/time", time), fixture.under("windows", windows))

monday(minute, windows) := at(concat("", ["2026-11-23T", minute, ":00.000Z"]), windows)

closed(said) if {
	said.effect == "deny"
	fixture.codes(said) == ["window.closed"]
}

test_inside_its_window_a_tool_is_allowed if {
	every minute in ["08:00", "12:34", "17:59"] {
		monday(minute, {"mail__send": office}).effect == "allow"
	}
}

test_outside_its_window_a_tool_is_denied if {
	every minute in ["00:00", "07:59", "18:00", "23:59"] {
		closed(monday(minute, {"mail__send": office}))
	}
}

test_on_another_day_a_tool_is_denied if {
	closed(at("2026-11-22T12:00:00.000Z", {"mail__send": office}))
	closed(at("2026-11-25T12:00:00.000Z", {"mail__send": office}))
}

test_the_last_millisecond_is_inside_and_the_next_is_not if {
	at("2026-11-23T17:59:59.999Z", {"mail__send": office}).effect == "allow"
	closed(at("2026-11-23T18:00:00.000Z", {"mail__send": office}))
}

test_a_window_may_last_until_midnight if {
	monday("23:59", {"mail__send": [{"days": ["Monday"], "from": "00:00", "to": "24:00"}]}).effect == "allow"
}

test_one_open_window_of_several_is_enough if {
	windows := array.concat(office, [{"days": ["Monday"], "from": "20:00", "to": "21:00"}])
	monday("20:30", {"mail__send": windows}).effect == "allow"
	closed(monday("19:30", {"mail__send": windows}))
}

test_the_windows_of_the_mode_and_of_the_upstream_hold_too if {
	closed(monday("19:00", {"local_write": office}))
	closed(monday("19:00", {"mail__*": office}))
	monday("12:00", {"local_write": office, "mail__*": office, "mail__send": office}).effect == "allow"
	closed(monday("12:00", {"local_write": office, "mail__send": []}))
}

test_windows_of_others_do_not_matter if {
	monday("19:00", {"network": office, "mail__read": office, "crm__*": office}).effect == "allow"
}

test_a_window_that_ends_before_it_begins_is_never_open if {
	every minute in ["23:00", "02:00", "12:00"] {
		closed(monday(minute, {"mail__send": [{"days": ["Monday"], "from": "22:00", "to": "06:00"}]}))
	}
}

test_a_window_of_another_form_is_never_open if {
	every odd in [
		null, "08:00", [], {}, [null], [{}], [{"days": ["Monday"], "from": "08:00"}], [{"from": "08:00", "to": "18:00"}],
		[{"days": ["monday"], "from": "08:00", "to": "18:00"}], [{"days": ["Monday"], "from": "8:00", "to": "18:00"}],
		[{"days": ["Monday"], "from": "08:00", "to": "6pm"}], [{"days": ["Monday"], "from": 8, "to": 18}],
		[{"days": ["Monday"], "from": "08:00", "to": "24:01"}], [{"days": "Monday", "from": "08:00", "to": "18:00"}],
		[{"days": ["Monday"], "from": "08:00", "to": "18:00", "zone": "CET"}],
	] {
		closed(monday("12:00", {"mail__send": odd}))
	}
}

test_an_unknown_time_is_inside_no_window if {
	every odd in ["2026-11-23T12:00:00Z", "2026-11-23T12:00:00.000+01:00", "noon", "", 5, null] {
		closed(at(odd, {"mail__send": office}))
	}
	closed(fixture.decision(fixture.without("local_write", "/context/time"), fixture.under("windows", {"mail__send": office})))
}

test_windows_of_a_form_that_nobody_knows_deny if {
	every odd in [null, 5, "x", []] {
		"window.unreadable" in fixture.codes(monday("12:00", odd))
	}
}

test_windows_hold_for_reads_too if {
	closed(fixture.decision(fixture.call("read_only"), fixture.under("windows", {"read_only": []})))
}
