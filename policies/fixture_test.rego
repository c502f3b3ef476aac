# METADATA
# title: A call that every rule accepts
# description: The tests change one thing in it. Its shape is the one the gateway builds.
package sealgate.fixture

settings := {
	"egress_allow": ["api.example.com", "cdn.example.com"],
	"network_calls_per_minute": 60,
	"delegated_evidence": 0,
}

# METADATA
# title: The settings with one more
under(name, value) := object.union(settings, {name: value})

# METADATA
# title: What the policy says of a call under these settings
decision(call, settings) := said if {
	said := data.sealgate.authz.decision with input as call with data.sealgate.settings as settings
}

call(mode) := {
	"subject": {
		"type": "user",
		"id": "alice",
		"properties": {
			"tenant": "default",
			"roles": ["agent"],
			"actors": ["agent:assistant"],
			"delegation": {
				"subject": "alice",
				"scopes": ["mail__send"],
				"expires_at": "2026-11-22T11:00:00.000Z",
			},
		},
	},
	"action": {"name": "tools/call"},
	"resource": {
		"type": "capability",
		"id": "mail__send",
		"properties": {
			"upstream": "mail",
			"tool": "send",
			"mode": mode,
			"owner": "mail-team",
			"trust_level": "untrusted",
			"definition_digest": "sha256:00",
			"egress": ["api.example.com"],
		},
	},
	"context": {
		"arguments": {"to": "bob"},
		"idempotency": {"key": true, "derived": false},
		"run": {"id": "run-1", "mode_ceiling": "destructive", "calls": 0, "effects": 0},
		"fields": {},
		"recent_calls": 0,
		"provenance": {"tainted": false, "complete": true, "leaves": []},
		"intent": null,
		"cited": [],
		"dev": false,
		"time": "2026-11-22T10:00:00.000Z",
	},
}

# METADATA
# title: The call with the value at one JSON pointer replaced
changed(mode, path, value) := json.patch(call(mode), [{"op": "replace", "path": path, "value": value}])

# METADATA
# title: The call with the member at one JSON pointer taken out
without(mode, path) := json.patch(call(mode), [{"op": "remove", "path": path}])

# METADATA
# title: The call with the values at several JSON pointers replaced
with_changes(mode, changes) := json.patch(call(mode), [{"op": "replace", "path": path, "value": value} |
	some path, value in changes
])

# METADATA
# title: The codes of a decision, in order
codes(decision) := [reason.code | some reason in decision.reasons]

test_the_call_is_accepted_in_every_mode if {
	every mode in ["read_only", "local_write", "network", "delegated", "destructive"] {
		decision := data.sealgate.authz.decision with input as call(mode) with data.sealgate.settings as settings
		decision.effect in {"allow", "ask"}
	}
}
