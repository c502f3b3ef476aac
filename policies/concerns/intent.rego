# METADATA
# title: Intent
# description: >-
#   What the run said it is for, before it read anything that is not to be believed. It can only narrow: an effect it does
#   not name, or whose arguments it rules out, is denied.
package sealgate.concerns.intent

intent := input.context.intent

# METADATA
# title: Why the run's own intent rules this call out
refusals contains {
	"code": "intent.tool_not_named",
	"message": "This run registered which tools it may change things with, and this is none of them. Start a run whose intent names it.",
} if {
	data.sealgate.modes.has_effect
	registered
	not names_tool
}

refusals contains {
	"code": "intent.not_fulfilled",
	"message": "The arguments are not those this run registered for this tool. Use the registered ones, or start another run.",
} if {
	data.sealgate.modes.has_effect
	registered
	not intent.fulfilled == true
}

# Whatever is not the word that there is none counts as an intent.
registered if not intent == null

names_tool if intent.tools == null

names_tool if input.resource.id in intent.tools
