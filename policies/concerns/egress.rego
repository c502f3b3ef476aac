# METADATA
# title: Egress
# description: >-
#   Which hosts a call reaches: those its tool is declared to reach, and those among its declared host arguments. Used by the
#   network tier; the pin binds every call whose hosts are known.
package sealgate.concerns.egress

import data.sealgate.settings

# METADATA
# title: Why a person is asked
doubts contains {
	"code": "network.egress_undeclared",
	"message": "Nobody declared which hosts this tool reaches. Ask the operator to add its egress, or have a person approve.",
} if {
	not declared
}

doubts contains {
	"code": "network.host_not_allowed",
	"message": "This tool reaches a host that is not on the egress allow-list. Ask the operator to add it, or have a person approve.",
} if {
	declared
	not declared_allowed
}

doubts contains {
	"code": "network.argument_not_allowed",
	"message": "An argument names a host that is not on the egress allow-list. Use another host, or have a person approve.",
} if {
	named
	not named_allowed
}

# METADATA
# title: Why a call cannot be pinned to its hosts
refusals contains {
	"code": "network.egress_unpinnable",
	"message": "Calls are pinned to the hosts they reach, and nobody declared those of this tool. Ask the operator to add its egress.",
} if {
	pinned
	not declared
}

# METADATA
# title: The hosts to pin the call to
# description: Of an allowed call all are on the allow-list; of one that a person approved, that person was shown them.
obligations["egress"] := [host | some host in hosts] if {
	pinned
	data.sealgate.modes.has_effect
	count(hosts) > 0
}

hosts contains host if {
	is_array(input.resource.properties.egress)
	some host in input.resource.properties.egress
}

hosts contains host if {
	is_array(input.context.fields.host)
	some host in input.context.fields.host
}

declared_allowed if {
	is_array(input.resource.properties.egress)
	every host in input.resource.properties.egress {
		allowed(host)
	}
}

named if type_name(input.context.fields.host)

named_allowed if {
	is_array(input.context.fields.host)
	every host in input.context.fields.host {
		allowed(host)
	}
}

# A rule of its own: `not host in settings.egress_allow` is undefined, and so no doubt, when there is no such setting.
allowed(host) if host in data.sealgate.settings.egress_allow

declared if {
	is_array(input.resource.properties.egress)
	count(input.resource.properties.egress) > 0
}

# Whatever is neither missing nor false pins.
pinned if {
	type_name(settings.pin_egress)
	not settings.pin_egress == false
}
