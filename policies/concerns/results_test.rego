package sealgate.concerns.results_test

import data.sealgate.fixture

results(entries) := fixture.decision(fixture.call("read_only"), fixture.under("results", entries))

downgraded(arguments, changes) := fixture.decision(
	fixture.changed("local_write", "/context/arguments", arguments),
	fixture.under("downgrades", {"mail__send": changes}),
)

test_without_an_entry_nothing_is_taken_out if {
	results({"mail__read": {"redact": ["/secret"]}}).obligations == {}
}

test_the_tool_s_entry_binds if {
	results({"mail__send": {"redact": ["/secret"], "max_bytes": 1000}}).obligations == {
		"redact": ["/secret"],
		"max_result_bytes": 1000,
	}
	results({"mail__send": {"max_bytes": 0}}).obligations == {"max_result_bytes": 0}
}

test_the_upstream_s_entry_binds_its_tools if {
	results({"mail__*": {"redact": ["/a"]}}).obligations == {"redact": ["/a"]}
	results({"mail__*": {"redact": ["/a"]}, "mail__send": {"max_bytes": 5}}).obligations == {"max_result_bytes": 5}
}

test_a_call_that_is_asked_about_is_bound_too if {
	said := fixture.decision(fixture.call("destructive"), fixture.under("results", {"mail__send": {"max_bytes": 5}}))
	said.effect == "ask"
	said.obligations == {"max_result_bytes": 5}
}

test_results_of_a_form_that_nobody_knows_deny if {
	every odd in [null, "x", [], {"redacted": ["/a"]}, {"redact": ["/a"], "max": 1}] {
		fixture.codes(results({"mail__send": odd})) == ["results.unreadable"]
	}
	every odd in [null, "x", [], 1] {
		fixture.codes(results(odd)) == ["results.unreadable"]
	}
}

test_an_argument_that_differs_is_changed if {
	every arguments in [{"dry_run": false}, {"dry_run": "true"}, {"dry_run": null}, {}] {
		said := downgraded(arguments, {"/dry_run": true})
		said.effect == "allow"
		said.obligations == {"modify": {"/dry_run": true}}
	}
}

test_an_argument_that_is_as_it_should_be_stays if {
	downgraded({"dry_run": true}, {"/dry_run": true}).obligations == {}
	downgraded({"note": null}, {"/note": null}).obligations == {}
}

test_only_what_differs_is_changed if {
	downgraded({"a": 1, "b": 2}, {"/a": 1, "/b": 3}).obligations == {"modify": {"/b": 3}}
}

test_pointers_reach_into_objects_and_lists if {
	arguments := {"list": [{"x/y": 1}, {"x~z": 2}], "0": "zero"}
	downgraded(arguments, {"/list/0/x~1y": 1, "/list/1/x~0z": 2, "/0": "zero"}).obligations == {}
	downgraded(arguments, {"/list/0/x~1y": 2}).obligations == {"modify": {"/list/0/x~1y": 2}}
	downgraded(arguments, {"/list/7/a": 1}).obligations == {"modify": {"/list/7/a": 1}}
}

test_downgrades_of_a_form_that_nobody_knows_deny if {
	every odd in [null, "x", [], 1] {
		fixture.codes(downgraded({}, odd)) == ["downgrades.unreadable"]
		said := fixture.decision(fixture.call("read_only"), fixture.under("downgrades", odd))
		fixture.codes(said) == ["downgrades.unreadable"]
	}
}
