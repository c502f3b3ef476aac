package sealgate.concerns.budgets_test

import data.sealgate.fixture

spent(mode, calls, effects, recent) := fixture.with_changes(mode, {
	"/context/run/calls": calls,
	"/context/run/effects": effects,
	"/context/recent_calls": recent,
})

decide(call) := fixture.decision(call, fixture.under("budgets", {"run_calls": 10, "run_effects": 3, "calls_per_minute": 5}))

test_a_call_within_every_budget_is_allowed if {
	decide(spent("local_write", 9, 2, 4)).effect == "allow"
}

test_a_call_over_the_budget_of_calls_is_denied if {
	every mode in ["read_only", "local_write", "network", "delegated", "destructive"] {
		said := decide(spent(mode, 10, 0, 0))
		said.effect == "deny"
		fixture.codes(said) == ["budget.run_calls"]
	}
}

test_an_effect_over_the_budget_of_effects_is_denied if {
	said := decide(spent("local_write", 3, 3, 0))
	said.effect == "deny"
	fixture.codes(said) == ["budget.run_effects"]
}

test_a_read_over_the_budget_of_effects_is_allowed if {
	decide(spent("read_only", 3, 3, 0)).effect == "allow"
}

test_a_call_over_the_rate_is_denied if {
	said := decide(spent("read_only", 0, 0, 5))
	said.effect == "deny"
	fixture.codes(said) == ["budget.calls_per_minute"]
}

test_every_budget_is_named_in_order if {
	said := decide(spent("local_write", 10, 3, 5))
	fixture.codes(said) == ["budget.calls_per_minute", "budget.run_calls", "budget.run_effects"]
}

test_what_is_not_counted_is_denied if {
	fixture.codes(decide(fixture.without("local_write", "/context/run/calls"))) == ["budget.run_calls"]
	fixture.codes(decide(fixture.without("local_write", "/context/run/effects"))) == ["budget.run_effects"]
	fixture.codes(decide(fixture.without("local_write", "/context/recent_calls"))) == ["budget.calls_per_minute"]
}

test_a_budget_that_is_no_number_lets_nothing_through if {
	every odd in ["10", null, true, []] {
		said := fixture.decision(fixture.call("read_only"), fixture.under("budgets", {"run_calls": odd}))
		fixture.codes(said) == ["budget.run_calls"]
	}
}

test_a_budget_of_zero_lets_nothing_through if {
	fixture.decision(fixture.call("local_write"), fixture.under("budgets", {"run_effects": 0})).effect == "deny"
	fixture.decision(fixture.call("read_only"), fixture.under("budgets", {"run_effects": 0})).effect == "allow"
}

test_without_budgets_a_run_may_go_on if {
	fixture.decision(spent("local_write", 100000, 100000, 0), fixture.settings).effect == "allow"
	fixture.decision(spent("local_write", 100000, 100000, 0), fixture.under("budgets", {})).effect == "allow"
}

test_budgets_of_a_form_that_nobody_knows_deny if {
	every odd in [null, 5, "x", [], {"run_call": 10}] {
		said := fixture.decision(fixture.call("read_only"), fixture.under("budgets", odd))
		fixture.codes(said) == ["budget.unreadable"]
	}
}
