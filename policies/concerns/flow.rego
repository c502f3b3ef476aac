# METADATA
# title: Information flow
# description: >-
#   An effect in a run that has read an untrusted result is doubtful, unless the run's intent covers it: every argument that
#   decides what the call does was seen in the intent, in the tool's definition or in a trusted result.
package sealgate.concerns.flow

import data.sealgate.settings

vouching := {"intent", "definition", "trusted"}

# METADATA
# title: Why a person is asked
doubts contains cause if {
	some cause in causes
	asks
}

# METADATA
# title: Why the call is denied, where the settings want no questions
refusals contains cause if {
	some cause in causes
	not asks
}

causes contains {
	"code": "flow.no_intent",
	"message": "This run has read text that is not to be believed and registered no intent before. Have a person approve.",
} if {
	doubtful
	not data.sealgate.concerns.intent.registered
}

causes contains {
	"code": "flow.not_fulfilled",
	"message": "This run has read text that is not to be believed, and its intent does not cover this call. Have a person approve.",
} if {
	doubtful
	data.sealgate.concerns.intent.registered
	not covered_by_intent
}

causes contains {
	"code": "flow.unknown_origin",
	"message": "An argument came neither from the run's intent nor from anything trusted, or none did. Have a person approve.",
} if {
	doubtful
	data.sealgate.concerns.intent.registered
	not vouched
}

doubtful if {
	not input.context.provenance.tainted == false
	gated
}

covered_by_intent if {
	data.sealgate.modes.has_effect # where the arguments come from is told of calls with an effect only
	input.context.intent.fulfilled == true
	data.sealgate.concerns.intent.names_tool
}

vouched if {
	input.context.provenance.complete == true
	is_array(input.context.provenance.leaves)
	every leaf in input.context.provenance.leaves {
		harmless(leaf)
	}
	tied
}

# METADATA
# title: Whether the call has to do with the intent
# description: >-
#   The intent names its tool, or something in it comes from the intent or from a trusted result. A call without arguments, or
#   with what the definition says alone, is not what a task in words spoke of.
tied if is_array(input.context.intent.tools)

tied if {
	some leaf in input.context.provenance.leaves
	leaf.role != "content"
	is_array(leaf.origins)
	some origin in leaf.origins
	origin in {"intent", "trusted"}
}

harmless(leaf) if leaf.role == "content"

harmless(leaf) if {
	is_array(leaf.origins)
	some origin in leaf.origins
	origin in vouching
}

gated if data.sealgate.modes.mode in gated_modes

# METADATA
# title: The modes that a tainted run is asked about
# description: All that have an effect, unless the settings list others, each of them known.
gated_modes := settings.flow.gated_modes if {
	is_array(settings.flow.gated_modes)
	every name in settings.flow.gated_modes {
		name in data.sealgate.modes.names
	}
} else := data.sealgate.modes.with_effect

# What is neither missing nor `ask` denies.
asks if not given

asks if settings.flow.tainted == "ask"

asks if {
	is_object(settings.flow)
	not says
}

given if type_name(settings.flow)

says if type_name(settings.flow.tainted)
