package sealgate.tiers.read_only_test

import data.sealgate.authz
import data.sealgate.fixture

test_a_read_is_allowed if {
	decision := authz.decision with input as fixture.call("read_only")
	decision.effect == "allow"
	decision.obligations == {}
	fixture.codes(decision) == ["read_only.allowed"]
}

test_a_read_by_somebody_who_is_no_agent_is_denied if {
	decision := authz.decision with input as fixture.changed("read_only", "/subject/properties/roles", ["auditor"])
	decision.effect == "deny"
}
