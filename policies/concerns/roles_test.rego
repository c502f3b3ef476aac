package sealgate.concerns.roles_test

import data.sealgate.fixture

tenants := {"default": {"roles": {
	"agent": {"max_mode": "network"},
	"clerk": {"max_mode": "destructive", "upstreams": ["crm", "mail"]},
	"courier": {"max_mode": "destructive", "upstreams": ["files"]},
}}}

decide(call) := fixture.decision(call, fixture.under("tenants", tenants))

roles(mode, names) := fixture.changed(mode, "/subject/properties/roles", names)

granting(grant) := fixture.decision(
	fixture.call("read_only"),
	fixture.under("tenants", {"default": {"roles": {"agent": grant}}}),
)

test_without_the_setting_the_role_agent_grants_every_mode if {
	fixture.decision(fixture.call("destructive"), fixture.settings).effect == "ask"
}

test_a_known_tenant_is_allowed if {
	decide(fixture.call("read_only")).effect == "allow"
}

test_an_unknown_tenant_is_denied if {
	every tenant in ["other", "", "DEFAULT", "*"] {
		said := decide(fixture.changed("read_only", "/subject/properties/tenant", tenant))
		said.effect == "deny"
		fixture.codes(said) == ["tenant.unknown"]
	}
}

test_a_missing_tenant_is_denied if {
	fixture.codes(decide(fixture.without("read_only", "/subject/properties/tenant"))) == ["tenant.unknown"]
}

test_a_setting_that_is_no_list_of_tenants_knows_none if {
	every odd in [null, false, "default", [], {}, {"default": null}, {"default": {}}, {"default": {"roles": ["agent"]}}] {
		said := fixture.decision(fixture.call("read_only"), fixture.under("tenants", odd))
		fixture.codes(said) == ["tenant.unknown"]
	}
}

test_a_mode_within_the_grant_is_allowed if {
	decide(fixture.call("network")).effect == "allow"
}

test_a_mode_above_the_grant_is_denied if {
	said := decide(fixture.call("destructive"))
	said.effect == "deny"
	fixture.codes(said) == ["role.not_granted"]
}

test_one_role_that_grants_is_enough if {
	decide(roles("destructive", ["agent", "clerk"])).effect == "ask"
}

test_a_role_for_other_upstreams_is_denied if {
	fixture.codes(decide(roles("destructive", ["agent", "courier"]))) == ["role.not_granted"]
}

test_a_role_of_no_tenant_grants_nothing if {
	said := fixture.decision(fixture.call("read_only"), fixture.under("tenants", {"default": {"roles": {}}}))
	fixture.codes(said) == ["role.not_granted"]
}

test_a_grant_alone_does_not_stand_in_for_the_role_agent if {
	fixture.codes(decide(roles("destructive", ["clerk"]))) == ["subject.not_agent"]
}

test_a_grant_that_names_the_upstream_is_allowed if {
	granting({"max_mode": "read_only", "upstreams": ["mail"]}).effect == "allow"
}

test_a_grant_of_another_form_grants_nothing if {
	every grant in [
		{}, null, "read_only", {"max_mode": "sky"}, {"max_mode": 4}, {"upstreams": ["mail"]},
		{"max_mode": "destructive", "upstream": ["mail"]}, {"max_mode": "destructive", "upstreams": []},
		{"max_mode": "destructive", "upstreams": null}, {"max_mode": "destructive", "upstreams": "mail"},
	] {
		fixture.codes(granting(grant)) == ["role.not_granted"]
	}
}
