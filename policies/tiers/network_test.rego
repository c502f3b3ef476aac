package sealgate.tiers.network_test

import data.sealgate.authz
import data.sealgate.fixture

decide(call) := decision if {
	decision := authz.decision with input as call with data.sealgate.settings as fixture.settings
}

decide_under(settings) := decision if {
	decision := authz.decision with input as fixture.call("network") with data.sealgate.settings as settings
}

egress(hosts) := fixture.changed("network", "/resource/properties/egress", hosts)

recent(calls) := fixture.changed("network", "/context/recent_calls", calls)

test_allowed_hosts_within_the_rate_are_allowed if {
	decision := decide(egress(["api.example.com", "cdn.example.com"]))
	decision.effect == "allow"
	fixture.codes(decision) == ["network.allowed"]
}

test_a_host_off_the_list_asks if {
	decision := decide(egress(["api.example.com", "evil.example.net"]))
	decision.effect == "ask"
	fixture.codes(decision) == ["network.host_not_allowed"]
	decision.obligations == {}
}

test_a_host_that_only_ends_like_an_allowed_one_asks if {
	decide(egress(["evil-api.example.com"])).effect == "ask"
}

test_declared_egress_is_allowed if {
	decide(egress(["api.example.com"])).effect == "allow"
}

test_empty_egress_asks if {
	decision := decide(egress([]))
	decision.effect == "ask"
	fixture.codes(decision) == ["network.egress_undeclared"]
}

test_missing_egress_asks if {
	decision := decide(fixture.without("network", "/resource/properties/egress"))
	decision.effect == "ask"
	fixture.codes(decision) == ["network.egress_undeclared"]
}

test_the_last_call_within_the_rate_is_allowed if {
	decide(recent(59)).effect == "allow"
}

test_a_call_over_the_rate_asks if {
	decision := decide(recent(60))
	decision.effect == "ask"
	fixture.codes(decision) == ["network.rate_exceeded"]
}

test_an_unknown_rate_asks if {
	decide(fixture.without("network", "/context/recent_calls")).effect == "ask"
}

test_every_doubt_is_named_in_order if {
	call := json.patch(recent(60), [{
		"op": "replace",
		"path": "/resource/properties/egress",
		"value": ["evil.example.net"],
	}])
	fixture.codes(decide(call)) == ["network.host_not_allowed", "network.rate_exceeded"]
}

test_without_settings_nothing_is_allowed if {
	decision := decide_under({})
	decision.effect == "ask"
	fixture.codes(decision) == ["network.host_not_allowed", "network.rate_exceeded"]
}

test_a_limit_that_is_no_number_lets_nothing_through if {
	decision := decide_under({"egress_allow": ["api.example.com"], "network_calls_per_minute": "60"})
	fixture.codes(decision) == ["network.rate_exceeded"]
}

test_above_the_ceiling_network_is_denied if {
	decide(fixture.changed("network", "/context/run/mode_ceiling", "local_write")).effect == "deny"
}
