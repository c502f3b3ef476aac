package sealgate.concerns.flow_test

import data.sealgate.fixture

effects := ["local_write", "network", "delegated", "destructive"]

named := {"tools": ["mail__send"], "fulfilled": true}

leaf(role, origins) := {"pointer": "/to", "role": role, "origins": origins}

tainted(mode, intent, provenance) := fixture.with_changes(mode, {
	"/context/intent": intent,
	"/context/provenance": object.union({"tainted": true, "complete": true, "leaves": []}, provenance),
})

decide(call) := fixture.decision(call, fixture.settings)

leaves(list) := decide(tainted("local_write", named, {"leaves": list}))

asked(said, codes) if {
	said.effect == "ask"
	fixture.codes(said) == codes
}

test_an_effect_in_a_clean_run_is_allowed if {
	decide(fixture.call("local_write")).effect == "allow"
	decide(fixture.call("network")).effect == "allow"
}

test_a_read_in_a_tainted_run_is_allowed if {
	decide(tainted("read_only", null, {})).effect == "allow"
}

test_every_effect_in_a_tainted_run_without_an_intent_asks if {
	every mode in effects {
		said := decide(tainted(mode, null, {}))
		said.effect == "ask"
		"flow.no_intent" in fixture.codes(said)
	}
}

test_a_covered_effect_is_allowed if {
	decide(tainted("local_write", named, {"leaves": [leaf("recipient", ["intent"]), leaf(null, ["untrusted", "trusted"])]})).effect == "allow"
	decide(tainted("network", named, {"leaves": [leaf("host", ["definition"])]})).effect == "allow"
}

test_a_registered_task_covers_what_it_vouches_for if {
	decide(tainted("local_write", {"tools": null, "fulfilled": true}, {"leaves": [leaf("path", ["intent"])]})).effect == "allow"
}

in_words := {"tools": null, "fulfilled": true}

words(list) := decide(tainted("local_write", in_words, {"leaves": list}))

test_a_task_in_words_does_not_cover_a_call_of_which_it_says_nothing if {
	asked(words([]), ["flow.unknown_origin"])
	asked(words([leaf("path", ["definition"])]), ["flow.unknown_origin"])
	asked(words([leaf("content", ["intent", "trusted"])]), ["flow.unknown_origin"])
	asked(words([leaf("content", ["intent"]), leaf(null, ["definition"])]), ["flow.unknown_origin"])
}

test_a_task_in_words_covers_a_call_with_one_value_of_its_own_or_a_trusted_one if {
	words([leaf("path", ["intent"]), leaf(null, ["definition"])]).effect == "allow"
	words([leaf(null, ["trusted"]), leaf("content", [])]).effect == "allow"
}

test_a_tool_that_the_intent_names_needs_no_argument if {
	leaves([]).effect == "allow"
	leaves([leaf(null, ["definition"])]).effect == "allow"
}

test_being_covered_takes_only_this_doubt_away if {
	asked(decide(tainted("destructive", named, {})), ["destructive.approval_required"])
	asked(decide(tainted("delegated", named, {})), ["delegated.own_approval"])
	keyless := json.patch(
		tainted("local_write", named, {}),
		[{"op": "replace", "path": "/context/idempotency/key", "value": false}],
	)
	decide(keyless).effect == "deny"
}

test_each_origin_that_vouches_is_enough if {
	every origin in ["intent", "definition", "trusted"] {
		leaves([leaf("amount", [origin])]).effect == "allow"
	}
}

test_an_argument_of_no_origin_that_vouches_asks if {
	every origins in [[], ["untrusted"], ["elsewhere"], null, "intent"] {
		asked(leaves([leaf("recipient", ["intent"]), leaf("amount", origins)]), ["flow.unknown_origin"])
	}
}

test_an_argument_of_no_declared_role_counts_like_the_others if {
	asked(leaves([leaf(null, ["untrusted"])]), ["flow.unknown_origin"])
}

test_content_may_come_from_anywhere if {
	leaves([leaf("content", ["untrusted"]), leaf("content", [])]).effect == "allow"
}

test_leaves_that_are_not_all_listed_ask if {
	asked(decide(tainted("local_write", named, {"complete": false})), ["flow.unknown_origin"])
	asked(decide(tainted("local_write", named, {"complete": "true"})), ["flow.unknown_origin"])
}

test_leaves_of_another_form_ask if {
	every odd in [null, "x", {"a": leaf("content", [])}, [null], ["x"], [{}]] {
		asked(decide(tainted("local_write", named, {"leaves": odd})), ["flow.unknown_origin"])
	}
}

test_tainted_is_everything_but_the_value_false if {
	every odd in ["false", null, 0, true] {
		asked(decide(tainted("local_write", null, {"tainted": odd})), ["flow.no_intent"])
	}
	asked(decide(fixture.without("local_write", "/context/provenance")), ["flow.no_intent"])
}

test_an_intent_that_rules_the_call_out_denies_it if {
	said := decide(tainted("local_write", {"tools": ["mail__read"], "fulfilled": true}, {}))
	said.effect == "deny"
	fixture.codes(said) == ["intent.tool_not_named"]
}

flow(mode, setting) := fixture.decision(tainted(mode, null, {}), fixture.under("flow", setting))

test_the_settings_can_deny_instead if {
	every mode in effects {
		said := flow(mode, {"tainted": "deny"})
		said.effect == "deny"
		fixture.codes(said) == ["flow.no_intent"]
	}
	covered := tainted("local_write", named, {})
	fixture.decision(covered, fixture.under("flow", {"tainted": "deny"})).effect == "allow"
}

test_what_is_neither_ask_nor_deny_denies if {
	every odd in [{"tainted": "allow"}, {"tainted": null}, {"tainted": false}, "ask", null, false, []] {
		flow("local_write", odd).effect == "deny"
	}
}

test_a_setting_without_the_word_asks if {
	flow("local_write", {}).effect == "ask"
	flow("local_write", {"tainted": "ask"}).effect == "ask"
}

test_modes_that_are_not_gated_are_allowed if {
	flow("local_write", {"gated_modes": ["network", "delegated", "destructive"]}).effect == "allow"
	flow("local_write", {"gated_modes": []}).effect == "allow"
	asked(flow("network", {"gated_modes": ["network"]}), ["flow.no_intent"])
}

test_gated_modes_of_another_form_gate_every_effect if {
	every odd in [null, "network", ["netwrok"], ["network", 1], {"a": "network"}] {
		asked(flow("local_write", {"gated_modes": odd}), ["flow.no_intent"])
	}
}

test_gated_reads_ask_whatever_the_intent if {
	reads := fixture.under("flow", {"gated_modes": ["read_only"]})
	asked(fixture.decision(tainted("read_only", null, {}), reads), ["flow.no_intent"])
	asked(fixture.decision(tainted("read_only", named, {}), reads), ["flow.not_fulfilled"])
	fixture.decision(fixture.call("read_only"), reads).effect == "allow"
}
