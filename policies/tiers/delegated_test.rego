package sealgate.tiers.delegated_test

import data.sealgate.fixture

decide(call) := fixture.decision(call, fixture.settings)

under_evidence(count) := fixture.decision(fixture.call("delegated"), fixture.under("delegated_evidence", count))

delegation(member, value) := fixture.changed("delegated", concat("", ["/subject/properties/delegation", member]), value)

test_a_valid_delegation_asks_its_principal if {
	decision := decide(fixture.call("delegated"))
	decision.effect == "ask"
	decision.obligations == {"approver": "user:alice"}
	fixture.codes(decision) == ["delegated.own_approval"]
}

test_no_delegation_is_denied if {
	decision := decide(delegation("", null))
	decision.effect == "deny"
	decision.obligations == {}
	fixture.codes(decision) == ["delegation.missing"]
}

test_a_missing_delegation_is_denied if {
	decision := decide(fixture.without("delegated", "/subject/properties/delegation"))
	fixture.codes(decision) == ["delegation.missing"]
}

test_a_delegation_by_the_principal_asks if {
	decide(delegation("/subject", "alice")).effect == "ask"
}

test_a_delegation_by_somebody_else_is_denied if {
	decision := decide(delegation("/subject", "mallory"))
	decision.effect == "deny"
	fixture.codes(decision) == ["delegation.wrong_subject"]
}

test_a_delegation_by_nobody_is_denied if {
	decide(fixture.without("delegated", "/subject/properties/delegation/subject")).effect == "deny"
}

test_a_delegation_until_the_next_millisecond_asks if {
	decide(delegation("/expires_at", "2026-11-22T10:00:00.001Z")).effect == "ask"
}

test_a_delegation_that_expires_now_is_denied if {
	decision := decide(delegation("/expires_at", "2026-11-22T10:00:00.000Z"))
	decision.effect == "deny"
	fixture.codes(decision) == ["delegation.expired"]
}

test_an_expiry_of_another_shape_is_denied if {
	every moment in ["2027-01-01T00:00:00Z", "2027-01-01T00:00:00.000+02:00", "tomorrow", "", 4102444800, null] {
		fixture.codes(decide(delegation("/expires_at", moment))) == ["delegation.expired"]
	}
}

test_an_unknown_time_is_denied if {
	fixture.codes(decide(fixture.without("delegated", "/context/time"))) == ["delegation.expired"]
}

test_a_scope_of_the_tool_asks if {
	decide(delegation("/scopes", ["files__read", "mail__send"])).effect == "ask"
}

test_a_scope_of_the_upstream_asks if {
	decide(delegation("/scopes", ["mail__*"])).effect == "ask"
}

test_another_scope_is_denied if {
	every scopes in [[], ["mail__read"], ["*"], ["mail__"], ["files__*"], "mail__send"] {
		decision := decide(delegation("/scopes", scopes))
		decision.effect == "deny"
		fixture.codes(decision) == ["delegation.not_covered"]
	}
}

test_every_fault_is_named_in_order if {
	decision := decide(delegation("", {"subject": "mallory", "scopes": [], "expires_at": "2020-01-01T00:00:00.000Z"}))
	fixture.codes(decision) == ["delegation.expired", "delegation.not_covered", "delegation.wrong_subject"]
}

test_the_call_must_cite_what_the_settings_want if {
	said := under_evidence(2)
	said.effect == "ask"
	said.obligations == {"approver": "user:alice", "evidence": {"count": 2}}
}

test_none_wanted_is_none if {
	under_evidence(0).obligations == {"approver": "user:alice"}
}

test_without_the_setting_one_is_wanted if {
	said := fixture.decision(fixture.call("delegated"), object.remove(fixture.settings, ["delegated_evidence"]))
	said.obligations == {"approver": "user:alice", "evidence": {"count": 1}}
}

test_what_is_no_count_is_left_for_the_gateway_to_refuse if {
	every odd in [null, "0", false, -1] {
		under_evidence(odd).obligations.evidence == {"count": odd}
	}
}
