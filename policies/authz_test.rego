package sealgate.authz_test

import data.sealgate.authz
import data.sealgate.fixture

decide(call) := decision if {
	decision := authz.decision with input as call with data.sealgate.settings as fixture.settings
}

test_each_mode_has_its_default if {
	decide(fixture.call("read_only")).effect == "allow"
	decide(fixture.call("local_write")).effect == "allow"
	decide(fixture.call("network")).effect == "allow"
	decide(fixture.call("delegated")).effect == "ask"
	decide(fixture.call("destructive")).effect == "ask"
}

test_a_known_mode_is_allowed if {
	decide(fixture.call("read_only")).effect == "allow"
}

test_an_unknown_mode_is_denied if {
	decision := decide(fixture.call("root"))
	decision.effect == "deny"
	fixture.codes(decision) == ["mode.unknown"]
}

test_a_setting_that_no_rule_reads_denies_every_call if {
	settings := object.union(fixture.settings, {"budget": {"run_calls": 1}})
	decision := authz.decision with input as fixture.call("read_only") with data.sealgate.settings as settings
	decision.effect == "deny"
	fixture.codes(decision) == ["setting.unknown"]
}

test_settings_of_rules_of_ones_own_have_a_place if {
	settings := object.union(fixture.settings, {"own": {"budget": {"run_calls": 1}}})
	decision := authz.decision with input as fixture.call("read_only") with data.sealgate.settings as settings
	decision.effect == "allow"
}

test_a_missing_mode_is_denied if {
	decision := decide(fixture.without("read_only", "/resource/properties/mode"))
	decision.effect == "deny"
	fixture.codes(decision) == ["mode.unknown"]
}

test_a_mode_at_the_ceiling_is_allowed if {
	decide(fixture.changed("local_write", "/context/run/mode_ceiling", "local_write")).effect == "allow"
}

test_a_mode_above_the_ceiling_is_denied if {
	decision := decide(fixture.changed("local_write", "/context/run/mode_ceiling", "read_only"))
	decision.effect == "deny"
	fixture.codes(decision) == ["mode.above_ceiling"]
}

test_every_mode_above_every_ceiling_is_denied if {
	modes := ["read_only", "local_write", "network", "delegated", "destructive"]
	every ceiling_rank, ceiling in modes {
		every mode_rank, mode in modes {
			decision := decide(fixture.changed(mode, "/context/run/mode_ceiling", ceiling))
			denied_as_it_should(decision.effect, mode_rank, ceiling_rank)
		}
	}
}

denied_as_it_should("deny", mode_rank, ceiling_rank) if mode_rank > ceiling_rank

denied_as_it_should("allow", mode_rank, ceiling_rank) if mode_rank <= ceiling_rank

denied_as_it_should("ask", mode_rank, ceiling_rank) if mode_rank <= ceiling_rank

test_an_unknown_ceiling_is_denied if {
	decision := decide(fixture.changed("read_only", "/context/run/mode_ceiling", "sky"))
	decision.effect == "deny"
	fixture.codes(decision) == ["mode.above_ceiling"]
}

test_the_role_agent_is_allowed if {
	decide(fixture.changed("read_only", "/subject/properties/roles", ["admin", "agent"])).effect == "allow"
}

test_another_role_is_denied if {
	decision := decide(fixture.changed("read_only", "/subject/properties/roles", ["approver"]))
	decision.effect == "deny"
	fixture.codes(decision) == ["subject.not_agent"]
}

test_no_role_is_denied if {
	decide(fixture.without("read_only", "/subject/properties/roles")).effect == "deny"
}

test_every_cause_is_named_in_order if {
	call := json.patch(fixture.call("network"), [
		{"op": "replace", "path": "/subject/properties/roles", "value": []},
		{"op": "replace", "path": "/context/run/mode_ceiling", "value": "read_only"},
	])
	fixture.codes(decide(call)) == ["mode.above_ceiling", "subject.not_agent"]
}

test_a_refusal_wins_over_an_approval if {
	decide(fixture.changed("destructive", "/subject/properties/roles", [])).effect == "deny"
}

test_no_input_is_denied if {
	decide({}).effect == "deny"
}

test_a_tier_that_is_undefined_is_denied_by_default if {
	decision := decide(fixture.without("delegated", "/subject/type"))
	decision.effect == "deny"
	fixture.codes(decision) == ["policy.no_rule"]
}

test_a_refusal_of_any_concern_is_named_with_the_others if {
	settings := object.union(fixture.settings, {
		"tenants": {"default": {"roles": {"agent": {"max_mode": "read_only"}}}},
		"budgets": {"run_calls": 0},
		"windows": {"network": []},
		"constraints": {"mail__send": {"paths": ["/srv"]}},
		"results": {"mail__send": null},
		"downgrades": null,
		"approvals": null,
		"flow": {"tainted": "deny"},
	})
	call := fixture.with_changes("network", {
		"/context/provenance/tainted": true,
		"/context/intent": {"tools": [], "fulfilled": false},
	})
	said := fixture.decision(call, settings)
	said.effect == "deny"
	said.obligations == {}
	fixture.codes(said) == [
		"approvals.unreadable", "arguments.path_missing", "budget.run_calls", "downgrades.unreadable", "flow.not_fulfilled",
		"intent.not_fulfilled", "intent.tool_not_named", "results.unreadable", "role.not_granted", "window.closed",
	]
}

test_the_doubts_of_every_concern_are_named_together if {
	settings := object.union(fixture.settings, {"constraints": {"mail__send": {"ask_above": 1}}})
	call := fixture.with_changes("network", {
		"/context/provenance/tainted": true,
		"/context/fields": {"amount": [2], "host": ["x.example"]},
		"/context/recent_calls": 60,
	})
	said := fixture.decision(call, settings)
	said.effect == "ask"
	fixture.codes(said) == ["arguments.amount_above", "flow.no_intent", "network.argument_not_allowed", "network.rate_exceeded"]
}

test_the_obligations_of_every_concern_bind_together if {
	settings := object.union(fixture.settings, {
		"pin_egress": true,
		"results": {"mail__*": {"redact": ["/a"], "max_bytes": 9}},
		"downgrades": {"mail__send": {"/to": "eve"}},
		"approvals": {"routes": {"delegated": ["cli"]}},
		"delegated_evidence": 1,
	})
	fixture.decision(fixture.call("delegated"), settings).obligations == {
		"approver": "user:alice",
		"egress": ["api.example.com"],
		"evidence": {"count": 1},
		"max_result_bytes": 9,
		"modify": {"/to": "eve"},
		"redact": ["/a"],
		"routes": ["cli"],
	}
}

test_every_decision_has_reasons_that_are_sentences if {
	every mode in ["read_only", "local_write", "network", "delegated", "destructive", "root"] {
		decision := decide(fixture.call(mode))
		count(decision.reasons) > 0
		every reason in decision.reasons {
			endswith(reason.message, ".")
		}
	}
}

listing(mode, names) := fixture.decision(fixture.call(mode), fixture.under("always_ask", names))

test_a_listed_tool_is_asked_about_in_every_mode if {
	every mode in ["read_only", "local_write", "network", "delegated", "destructive"] {
		every names in [["send"], ["other", "mail__send"]] {
			said := listing(mode, names)
			said.effect == "ask"
			"always_ask.listed" in fixture.codes(said)
		}
	}
}

test_a_tool_that_is_not_listed_is_not if {
	every names in [[], ["sen"], ["mail__*"], ["MAIL__SEND"]] {
		listing("local_write", names).effect == "allow"
	}
}

test_a_list_that_is_none_denies if {
	every names in ["send", {"send": true}, null, false, 1] {
		said := listing("local_write", names)
		said.effect == "deny"
		fixture.codes(said) == ["always_ask.unreadable"]
	}
}
