package sealgate.configured_test

import data.sealgate.configured
import data.sealgate.fixture

test_the_key_of_all_tools_names_their_upstream if {
	configured.upstream_key == "mail__*" with input as fixture.call("read_only")
}

test_members_that_are_known_are_a_form if {
	configured.formed({}, {"a"})
	configured.formed({"a": 1}, {"a", "b"})
}

test_members_that_nobody_knows_are_no_form if {
	not configured.formed({"a": 1, "c": 1}, {"a", "b"})
	not configured.formed("a", {"a"})
	not configured.formed(null, {"a"})
	not configured.formed([], {"a"})
}
