package sealgate.modes_test

import data.sealgate.fixture
import data.sealgate.modes

effect(call) if {
	modes.has_effect with input as call
}

test_every_mode_has_a_rank_and_those_with_effect_are_above_the_first if {
	object.keys(modes.ranks) == modes.names
	modes.with_effect == {name | some name, rank in modes.ranks; rank > 0}
}

test_everything_but_a_read_has_an_effect if {
	every name in modes.with_effect | {"", "READ_ONLY"} {
		effect(fixture.call(name))
	}
	effect({})
}

test_a_read_has_none if {
	not effect(fixture.call("read_only"))
}
