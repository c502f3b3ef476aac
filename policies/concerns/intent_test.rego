package sealgate.concerns.intent_test

import data.sealgate.fixture

decide(mode, intent) := fixture.decision(fixture.changed(mode, "/context/intent", intent), fixture.settings)

denied(said, codes) if {
	said.effect == "deny"
	fixture.codes(said) == codes
}

test_without_an_intent_a_write_is_allowed if {
	decide("local_write", null).effect == "allow"
}

test_a_task_alone_names_no_tools_and_allows if {
	decide("local_write", {"tools": null, "fulfilled": true}).effect == "allow"
}

test_a_named_tool_is_allowed if {
	decide("local_write", {"tools": ["files__read", "mail__send"], "fulfilled": true}).effect == "allow"
}

test_an_effect_of_another_tool_is_denied if {
	every mode in ["local_write", "network", "delegated", "destructive"] {
		denied(decide(mode, {"tools": ["mail__read"], "fulfilled": true}), ["intent.tool_not_named"])
		denied(decide(mode, {"tools": [], "fulfilled": true}), ["intent.tool_not_named"])
	}
}

test_a_read_by_another_tool_is_allowed if {
	decide("read_only", {"tools": [], "fulfilled": false}).effect == "allow"
}

test_other_values_than_the_registered_ones_are_denied if {
	denied(decide("local_write", {"tools": ["mail__send"], "fulfilled": false}), ["intent.not_fulfilled"])
	denied(decide("local_write", {"tools": null, "fulfilled": false}), ["intent.not_fulfilled"])
}

test_fulfilled_is_the_value_true_only if {
	every odd in ["true", 1, null] {
		denied(decide("local_write", {"tools": ["mail__send"], "fulfilled": odd}), ["intent.not_fulfilled"])
	}
	denied(decide("local_write", {"tools": ["mail__send"]}), ["intent.not_fulfilled"])
}

test_an_intent_of_another_form_is_denied if {
	every odd in [false, "x", [], {}, {"tools": "mail__send"}] {
		denied(decide("local_write", odd), ["intent.not_fulfilled", "intent.tool_not_named"])
	}
}

test_an_input_that_says_nothing_of_an_intent_is_denied if {
	said := fixture.decision(fixture.without("local_write", "/context/intent"), fixture.settings)
	denied(said, ["intent.not_fulfilled", "intent.tool_not_named"])
}
