package sealgate.concerns.arguments_test

import data.sealgate.fixture

decide(constraints, fields) := fixture.decision(
	fixture.changed("local_write", "/context/fields", fields),
	fixture.under("constraints", constraints),
)

limited(constraint, fields) := decide({"mail__send": constraint}, fields)

path(value) := limited({"paths": ["/srv/a", "/home/bob/", "relative"]}, {"path": [value]})

amounts(values) := limited({"max_amount": 500, "ask_above": 100}, {"amount": values})

test_a_tool_without_constraints_is_allowed if {
	decide({"mail__read": {"paths": []}}, {"path": ["/etc/passwd"]}).effect == "allow"
}

test_paths_inside_a_folder_are_allowed if {
	every inside in ["/srv/a", "/srv/a/b", "/srv/a/b/c.txt", "/home/bob/x", "relative", "relative/x", "/srv/a/..b"] {
		path(inside).effect == "allow"
	}
}

test_paths_outside_every_folder_are_denied if {
	every outside in [
		"/srv/ab", "/srv", "/", "", "srv/a", "/srv/A", "/home/bob", "/home/bobby", "x/srv/a",
		"/srv/a/../b", "/srv/a/..", "/srv/a/./../b", "../srv/a", "relatives",
	] {
		said := path(outside)
		said.effect == "deny"
		fixture.codes(said) == ["arguments.path_not_allowed"]
	}
}

test_the_root_contains_every_absolute_path_and_nothing_else if {
	limited({"paths": ["/"]}, {"path": ["/etc/x"]}).effect == "allow"
	limited({"paths": ["/"]}, {"path": ["etc/x"]}).effect == "deny"
}

test_an_empty_folder_contains_nothing if {
	limited({"paths": [""]}, {"path": ["/etc/x"]}).effect == "deny"
	limited({"paths": [""]}, {"path": [""]}).effect == "deny"
}

test_one_path_outside_is_enough_to_deny if {
	said := limited({"paths": ["/srv/a"]}, {"path": ["/srv/a/b", "/srv/b"]})
	fixture.codes(said) == ["arguments.path_not_allowed"]
}

test_listed_hosts_are_allowed if {
	limited({"hosts": ["a.example", "b.example"]}, {"host": ["b.example", "a.example"]}).effect == "allow"
}

test_other_hosts_are_denied if {
	every host in ["c.example", "A.example", "a.example.evil", "", "*"] {
		said := limited({"hosts": ["a.example"]}, {"host": ["a.example", host]})
		fixture.codes(said) == ["arguments.host_not_allowed"]
	}
}

test_listed_recipients_are_allowed if {
	limited({"recipients": ["bob@a.example"]}, {"recipient": ["bob@a.example"]}).effect == "allow"
}

test_other_recipients_are_denied if {
	said := limited({"recipients": ["bob@a.example"]}, {"recipient": ["eve@a.example"]})
	fixture.codes(said) == ["arguments.recipient_not_allowed"]
}

test_amounts_up_to_the_first_limit_are_allowed if {
	every values in [[0], [100], [50, 50], [0.5, 99.5], [-100]] {
		amounts(values).effect == "allow"
	}
}

test_amounts_above_it_ask if {
	every values in [[101], [100.01], [60, 60], [500], [-101]] {
		said := amounts(values)
		said.effect == "ask"
		fixture.codes(said) == ["arguments.amount_above"]
	}
}

test_amounts_above_the_highest_are_denied if {
	every values in [[501], [250, 251], [500, -1], [500.01], [400, 400, -700], [1e300]] {
		said := amounts(values)
		said.effect == "deny"
		fixture.codes(said) == ["arguments.amount_not_allowed"]
	}
}

test_an_amount_that_is_no_number_is_denied if {
	every values in [["1"], [1, null], [true], "1"] {
		fixture.codes(amounts(values)) == ["arguments.amount_not_allowed"]
	}
}

test_a_limit_that_is_no_number_lets_nothing_through if {
	fixture.codes(limited({"max_amount": "500"}, {"amount": [1]})) == ["arguments.amount_not_allowed"]
	fixture.codes(limited({"max_amount": null}, {"amount": [1]})) == ["arguments.amount_not_allowed"]
	fixture.codes(limited({"ask_above": "500"}, {"amount": [1]})) == ["arguments.amount_above"]
}

test_a_limit_to_ask_alone_is_no_limit_to_deny if {
	limited({"ask_above": 1}, {"amount": [1000000]}).effect == "ask"
	limited({"max_amount": 10}, {"amount": [10]}).effect == "allow"
}

test_a_constraint_with_nothing_to_check_is_denied if {
	every role, constraint in {
		"path": {"paths": ["/srv"]},
		"host": {"hosts": ["a.example"]},
		"recipient": {"recipients": ["bob"]},
		"amount": {"max_amount": 5},
	} {
		every fields in [{}, {role: []}, {"content": ["x"]}] {
			said := limited(constraint, fields)
			said.effect == "deny"
			fixture.codes(said) == [concat("", ["arguments.", role, "_missing"])]
		}
	}
}

test_a_limit_to_ask_with_no_amount_is_denied if {
	fixture.codes(limited({"ask_above": 5}, {})) == ["arguments.amount_missing"]
}

test_no_fields_at_all_is_denied if {
	said := fixture.decision(
		fixture.without("local_write", "/context/fields"),
		fixture.under("constraints", {"mail__send": {"paths": ["/srv"]}}),
	)
	fixture.codes(said) == ["arguments.path_missing"]
}

test_an_optional_constraint_with_nothing_to_check_is_allowed if {
	limited({"paths": ["/srv"], "max_amount": 5, "optional": true}, {}).effect == "allow"
}

test_an_optional_constraint_still_holds_for_what_is_there if {
	said := limited({"paths": ["/srv"], "optional": true}, {"path": ["/etc"]})
	fixture.codes(said) == ["arguments.path_not_allowed"]
}

test_optional_is_the_value_true_only if {
	every odd in ["true", 1, null, false] {
		fixture.codes(limited({"paths": ["/srv"], "optional": odd}, {})) == ["arguments.path_missing"]
	}
}

test_a_list_of_another_form_allows_nothing if {
	every odd in [null, "/srv", false, 1, [], [null]] {
		fixture.codes(limited({"paths": odd}, {"path": ["/srv"]})) == ["arguments.path_not_allowed"]
		fixture.codes(limited({"hosts": odd}, {"host": ["/srv"]})) == ["arguments.host_not_allowed"]
		fixture.codes(limited({"recipients": odd}, {"recipient": ["/srv"]})) == ["arguments.recipient_not_allowed"]
	}
}

test_the_constraint_of_the_upstream_holds_for_its_tools if {
	fixture.codes(decide({"mail__*": {"hosts": ["a"]}}, {"host": ["b"]})) == ["arguments.host_not_allowed"]
	decide({"mail__*": {"hosts": ["a"]}}, {"host": ["a"]}).effect == "allow"
}

test_the_constraint_of_the_tool_stands_before_that_of_its_upstream if {
	constraints := {"mail__*": {"hosts": ["a"]}, "mail__send": {"hosts": ["b"]}}
	decide(constraints, {"host": ["b"]}).effect == "allow"
	decide(constraints, {"host": ["a"]}).effect == "deny"
}

test_constraints_hold_for_reads_too if {
	said := fixture.decision(
		fixture.changed("read_only", "/context/fields", {"path": ["/etc"]}),
		fixture.under("constraints", {"mail__send": {"paths": ["/srv"]}}),
	)
	said.effect == "deny"
}

test_a_constraint_of_a_form_that_nobody_knows_denies if {
	every odd in [null, "x", [], {"path": ["/srv"]}, {"paths": ["/srv"], "max": 1}] {
		said := limited(odd, {"path": ["/srv"]})
		said.effect == "deny"
		"arguments.unreadable" in fixture.codes(said)
	}
	every odd in [null, "x", [], 1] {
		fixture.codes(decide(odd, {"path": ["/srv"]})) == ["arguments.unreadable"]
	}
}

test_every_fault_is_named_in_order if {
	said := limited({"paths": ["/srv"], "hosts": ["a"], "max_amount": 5}, {"path": ["/etc"], "amount": [6]})
	fixture.codes(said) == ["arguments.amount_not_allowed", "arguments.host_missing", "arguments.path_not_allowed"]
}
