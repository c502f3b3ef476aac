# METADATA
# title: No policy
# description: Allows every call. For the benchmark's control run, which shows what the attacks do where nothing stops them.
package sealgate.authz

# METADATA
# title: The decision document
# description: "{effect: allow|ask|deny, reasons: [{code, message}], obligations: {}}"
# entrypoint: true
decision := {
	"effect": "allow",
	"reasons": [{"code": "control.allowed", "message": "This gateway has no policy."}],
	"obligations": {},
}
