package sealgate.concerns.egress_test

import data.sealgate.fixture

reaching(mode, declared, named) := fixture.with_changes(mode, {
	"/resource/properties/egress": declared,
	"/context/fields": {"host": named},
})

decide(declared, named) := fixture.decision(reaching("network", declared, named), fixture.settings)

pinned(value, mode, declared, named) := fixture.decision(reaching(mode, declared, named), fixture.under("pin_egress", value))

asked(said, codes) if {
	said.effect == "ask"
	fixture.codes(said) == codes
}

test_an_argument_that_names_an_allowed_host_is_allowed if {
	decide(["api.example.com"], ["cdn.example.com"]).effect == "allow"
	decide(["api.example.com"], []).effect == "allow"
}

test_an_argument_that_names_another_host_asks if {
	asked(decide(["api.example.com"], ["cdn.example.com", "evil.example.net"]), ["network.argument_not_allowed"])
}

test_an_argument_does_not_stand_in_for_a_declaration if {
	asked(decide([], ["api.example.com"]), ["network.egress_undeclared"])
}

test_both_kinds_of_host_are_named_in_order if {
	asked(decide(["x.example"], ["y.example"]), ["network.argument_not_allowed", "network.host_not_allowed"])
}

test_without_the_setting_nothing_is_pinned if {
	decide(["api.example.com"], []).obligations == {}
	pinned(false, "network", ["api.example.com"], []).obligations == {}
}

test_a_pinned_call_may_reach_its_own_hosts_only if {
	said := pinned(true, "network", ["api.example.com"], ["cdn.example.com", "api.example.com"])
	said.effect == "allow"
	said.obligations == {"egress": ["api.example.com", "cdn.example.com"]}
}

test_a_call_that_is_asked_about_is_pinned_to_what_was_shown if {
	said := pinned(true, "network", ["x.example"], [])
	said.effect == "ask"
	said.obligations == {"egress": ["x.example"]}
}

test_a_call_that_cannot_be_pinned_is_denied if {
	said := pinned(true, "network", [], [])
	said.effect == "deny"
	fixture.codes(said) == ["network.egress_unpinnable"]
}

test_higher_modes_are_pinned_where_their_hosts_are_declared if {
	pinned(true, "destructive", ["x.example"], []).obligations == {"egress": ["x.example"]}
	pinned(true, "destructive", [], []).obligations == {}
	pinned(true, "local_write", ["x.example"], []).obligations == {"egress": ["x.example"]}
}

test_reads_are_not_pinned if {
	pinned(true, "read_only", ["x.example"], []).obligations == {}
}

test_whatever_is_not_false_pins if {
	every odd in ["false", null, 1, {}] {
		pinned(odd, "network", ["api.example.com"], []).obligations == {"egress": ["api.example.com"]}
	}
}
