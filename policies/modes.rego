# METADATA
# title: Approval modes
# description: Their order, and which of them change something.
package sealgate.modes

ranks := {
	"read_only": 0,
	"local_write": 1,
	"network": 2,
	"delegated": 3,
	"destructive": 4,
}

names := {"read_only", "local_write", "network", "delegated", "destructive"}

with_effect := {"local_write", "network", "delegated", "destructive"}

mode := input.resource.properties.mode

# Whatever is not known to be a read counts as an effect.
has_effect if not mode == "read_only"
