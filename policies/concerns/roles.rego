# METADATA
# title: Tenants and their roles
# description: >-
#   With the setting `tenants`, a caller's tenant must be in it and one of the caller's roles there must grant the call's
#   mode and upstream. Without it the role agent grants everything.
package sealgate.concerns.roles

import data.sealgate.configured
import data.sealgate.settings

ranks := data.sealgate.modes.ranks

tenant := settings.tenants[input.subject.properties.tenant]

# METADATA
# title: Why the caller's roles do not carry this call
refusals contains {
	"code": "tenant.unknown",
	"message": "This caller's tenant is not among those that may call tools. Ask the operator to add it to the setting tenants.",
} if {
	given
	not tenant_known
}

refusals contains {
	"code": "role.not_granted",
	"message": "None of this caller's roles grants this tool. Use another one, or ask the operator to grant its mode and upstream.",
} if {
	given
	tenant_known
	not granted
}

given if type_name(settings.tenants)

tenant_known if is_object(tenant.roles)

granted if {
	some role in input.subject.properties.roles
	grant := tenant.roles[role]
	configured.formed(grant, {"max_mode", "upstreams"})
	ranks[data.sealgate.modes.mode] <= ranks[grant.max_mode]
	grants_upstream(grant)
}

grants_upstream(grant) if not names_upstreams(grant)

names_upstreams(grant) if type_name(grant.upstreams)

grants_upstream(grant) if input.resource.properties.upstream in grant.upstreams
