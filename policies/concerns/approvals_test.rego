package sealgate.concerns.approvals_test

import data.sealgate.fixture

approvals := {
	"quorum": {"destructive": {"count": 2, "of": ["user:bob", "user:eve", "user:ivan"]}},
	"routes": {"destructive": ["cli", "webhook"], "network": ["elicitation"]},
	"run": true,
}

decide(call) := fixture.decision(call, fixture.under("approvals", approvals))

settled(call, settings) := fixture.decision(call, object.union(fixture.under("approvals", {"run": true}), settings))

off_list := fixture.changed("network", "/resource/properties/egress", ["x.example"])

test_the_mode_s_quorum_and_routes_bind_its_approvers if {
	decide(fixture.call("destructive")).obligations == {
		"quorum": approvals.quorum.destructive,
		"routes": ["cli", "webhook"],
	}
}

test_modes_without_such_settings_are_not_bound if {
	decide(fixture.call("delegated")).obligations == {"approver": "user:alice"}
	fixture.decision(fixture.call("destructive"), fixture.settings).obligations == {}
}

test_an_allowed_call_binds_no_approver if {
	said := decide(fixture.call("network"))
	said.effect == "allow"
	said.obligations == {}
}

test_a_doubt_about_the_tool_may_be_settled_for_the_run if {
	settled(off_list, {}).obligations == {"approve_for": "run"}
	settled(fixture.changed("network", "/context/recent_calls", 60), {}).obligations == {"approve_for": "run"}
	settled(fixture.changed("network", "/resource/properties/egress", []), {}).obligations == {"approve_for": "run"}
}

test_a_doubt_about_what_the_call_says_is_settled_once if {
	named := fixture.with_changes("network", {"/resource/properties/egress": ["x.example"], "/context/fields": {"host": ["y.example"]}})
	settled(named, {}).obligations == {}
	amount := fixture.changed("local_write", "/context/fields", {"amount": [5]})
	said := settled(amount, {"constraints": {"mail__send": {"ask_above": 1}}})
	said.effect == "ask"
	said.obligations == {}
}

test_a_tainted_run_is_asked_about_each_call if {
	tainted := fixture.with_changes("network", {"/resource/properties/egress": ["x.example"], "/context/provenance/tainted": true})
	said := settled(tainted, {})
	fixture.codes(said) == ["flow.no_intent", "network.host_not_allowed"]
	said.obligations == {}
}

test_higher_modes_are_asked_about_each_call if {
	settled(fixture.call("destructive"), {}).obligations == {}
	settled(fixture.call("delegated"), {}).obligations == {"approver": "user:alice"}
}

test_only_the_value_true_offers_a_run if {
	every odd in [false, "true", 1, null] {
		fixture.decision(off_list, fixture.under("approvals", {"run": odd})).obligations == {}
	}
	fixture.decision(off_list, fixture.under("approvals", {})).obligations == {}
}

test_approvals_of_a_form_that_nobody_knows_deny if {
	every odd in [null, "x", [], {"quorums": {}}, {"quorum": []}, {"quorum": {"destroy": {"count": 2}}}, {"routes": {"all": []}}] {
		said := fixture.decision(fixture.call("destructive"), fixture.under("approvals", odd))
		said.effect == "deny"
		fixture.codes(said) == ["approvals.unreadable"]
	}
}
