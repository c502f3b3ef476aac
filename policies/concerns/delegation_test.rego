package sealgate.concerns.delegation_test

import data.sealgate.concerns.delegation
import data.sealgate.fixture

codes(call) := {reason.code | some reason in refusals} if {
	refusals := delegation.refusals with input as call
}

given(member, value) := fixture.changed("delegated", concat("", ["/subject/properties/delegation", member]), value)

test_a_valid_delegation_is_no_reason_to_refuse if {
	codes(fixture.call("delegated")) == set()
}

test_a_delegation_that_is_none_is_missing if {
	every odd in [null, "alice", [], true] {
		codes(given("", odd)) == {"delegation.missing"}
	}
}

test_each_fault_of_a_delegation_is_named if {
	codes(given("/subject", "mallory")) == {"delegation.wrong_subject"}
	codes(given("/expires_at", "2020-01-01T00:00:00.000Z")) == {"delegation.expired"}
	codes(given("/scopes", [])) == {"delegation.not_covered"}
	codes(given("", {})) == {"delegation.wrong_subject", "delegation.expired", "delegation.not_covered"}
}
