# METADATA
# title: Budgets
# description: >-
#   How many calls and effects a run may have, and how many calls a minute its principal. Over a budget is a deny: asking
#   would let a run that has lost its way flood the people who approve.
package sealgate.concerns.budgets

import data.sealgate.configured
import data.sealgate.settings

# METADATA
# title: Which budget is used up
refusals contains {
	"code": "budget.unreadable",
	"message": "The setting budgets has a form that policy does not know. Tell the operator to correct it.",
} if {
	type_name(settings.budgets)
	not configured.formed(settings.budgets, {"run_calls", "run_effects", "calls_per_minute"})
}

refusals contains {
	"code": "budget.run_calls",
	"message": "This run has made all the calls it may make. End it; a person may start another one.",
} if {
	type_name(settings.budgets.run_calls)
	not calls_left
}

refusals contains {
	"code": "budget.run_effects",
	"message": "This run has changed as much as it may. It may still read; a person may start another one.",
} if {
	type_name(settings.budgets.run_effects)
	data.sealgate.modes.has_effect
	not effects_left
}

refusals contains {
	"code": "budget.calls_per_minute",
	"message": "This caller made too many calls in the last minute. Wait a minute and try again.",
} if {
	type_name(settings.budgets.calls_per_minute)
	not within_rate
}

calls_left if below(input.context.run.calls, settings.budgets.run_calls)

effects_left if below(input.context.run.effects, settings.budgets.run_effects)

within_rate if below(input.context.recent_calls, settings.budgets.calls_per_minute)

below(used, budget) if {
	# In Rego every number is less than any string: what is no number must not let calls through.
	is_number(used)
	is_number(budget)
	used < budget
}
