package sealgate.tiers.local_write_test

import data.sealgate.authz
import data.sealgate.fixture

test_a_write_with_a_key_is_allowed if {
	decision := authz.decision with input as fixture.call("local_write")
	decision.effect == "allow"
	fixture.codes(decision) == ["local_write.allowed"]
}

test_a_write_without_a_key_is_denied if {
	decision := authz.decision with input as fixture.changed("local_write", "/context/idempotency/key", false)
	decision.effect == "deny"
	fixture.codes(decision) == ["local_write.no_key"]
}

test_a_write_that_says_nothing_of_a_key_is_denied if {
	decision := authz.decision with input as fixture.without("local_write", "/context/idempotency")
	decision.effect == "deny"
}

test_a_key_that_is_not_the_value_true_is_denied if {
	decision := authz.decision with input as fixture.changed("local_write", "/context/idempotency/key", "true")
	decision.effect == "deny"
}
