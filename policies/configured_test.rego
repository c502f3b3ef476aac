package sealgate.configured_test

import data.sealgate.configured
import data.sealgate.fixture

call := fixture.call("read_only")

given(settings) if {
	configured.given("some") with data.sealgate.settings as settings
}

found(entries) := entry if {
	entry := configured.entry("some") with input as call with data.sealgate.settings as {"some": entries}
}

readable(entries) if {
	configured.readable_entry("some", {"a"}) with input as call with data.sealgate.settings as {"some": entries}
}

test_a_setting_is_there_whatever_its_value if {
	every value in [null, false, 0, "", [], {}, "x"] {
		given({"some": value})
	}
}

test_another_setting_is_not_this_one if {
	not given({})
	not given({"other": 1})
}

test_the_entry_of_the_tool_stands_before_that_of_its_upstream if {
	found({"mail__send": 1, "mail__*": 2}) == 1
	found({"mail__*": 2, "mail__read": 3}) == 2
	found({"mail__send": false, "mail__*": 2}) == false
}

test_without_an_entry_there_is_none if {
	not found({})
	not found({"files__*": 1, "*": 2})
}

test_members_that_nobody_knows_are_no_form if {
	configured.formed({}, {"a"})
	configured.formed({"a": 1}, {"a", "b"})
	not configured.formed({"a": 1, "c": 1}, {"a", "b"})
	not configured.formed("a", {"a"})
	not configured.formed(null, {"a"})
}

test_entries_are_readable_where_there_are_none_or_they_have_their_form if {
	readable({})
	readable({"mail__send": {"a": 1}})
	readable({"files__*": "not this tool's"})
}

test_entries_of_another_form_are_not_readable if {
	not readable(null)
	not readable("x")
	not readable({"mail__send": {"b": 1}})
	not readable({"mail__*": null})
}
