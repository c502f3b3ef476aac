package sealgate.tiers.destructive_test

import data.sealgate.authz
import data.sealgate.fixture

test_a_destructive_call_asks if {
	decision := authz.decision with input as fixture.call("destructive")
	decision.effect == "ask"
	decision.obligations == {}
	fixture.codes(decision) == ["destructive.approval_required"]
}

test_a_destructive_call_above_the_ceiling_is_denied if {
	decision := authz.decision with input as fixture.changed("destructive", "/context/run/mode_ceiling", "delegated")
	decision.effect == "deny"
}
