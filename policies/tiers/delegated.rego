# METADATA
# title: delegated
# description: >-
#   Needs a valid delegation by the principal that covers this tool, evidence that the call cites, and then that principal's
#   own approval.
package sealgate.tiers.delegated

import data.sealgate.settings

verdict := {
	"refusals": data.sealgate.concerns.delegation.refusals,
	"doubts": {{
		"code": "delegated.own_approval",
		"message": "This acts in the name of the person who delegated it. That person must approve.",
	}},
	"grounds": [],
	"obligations": object.union({"approver": approver}, evidence),
}

approver := concat(":", [input.subject.type, input.subject.id])

# METADATA
# title: How many results of its run the call must cite
# description: One where nothing is set. What is no count makes an obligation that the gateway refuses.
evidence := {} if {
	settings.delegated_evidence == 0
} else := {"evidence": {"count": settings.delegated_evidence}} if {
	type_name(settings.delegated_evidence)
} else := {"evidence": {"count": 1}}
