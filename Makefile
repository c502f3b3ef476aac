# Everything a person or CI runs. `make help` lists it.
.DEFAULT_GOAL := help
SHELL := /bin/sh
MAKEFLAGS += --no-builtin-rules
PY := .venv/bin/python
HADOLINT := $(or $(HADOLINT_BIN),$(wildcard .cache/lint/bin/hadolint),hadolint)
ifneq ($(wildcard .cache/bin/opa),)
export OPA_BIN ?= $(CURDIR)/.cache/bin/opa
endif
# Two at a time, and the tests of one file in one process: many only wait for the processes they started.
PARALLEL := -n 2 --dist loadfile
OPA := .ci/with "$(or $(OPA_BIN),opa)" 'build it: .ci/opa'

.PHONY: help run demo test test-long check style types policy dockerfile bench bench-log bench-policy bench-catalogue bench-security conformance faults fuzz lock clean

help: ## List the targets
	@awk -F ': .*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/run.stamp ## Start the gateway in front of the two example servers
	@examples/up.sh

demo: .venv/run.stamp ## Drive the running gateway as a client would (needs `make run` in another terminal)
	@examples/demo.sh $(PY)

test: .venv/dev.stamp ## Run the tests, but for those that take long; REQUIRE_ALL=1 fails where OPA, Node, Go, bwrap, ssh-keygen, jq or openssl is missing
	@$(PY) -m pytest $(PARALLEL) $(ARGS)

test-long: .venv/dev.stamp ## Run the tests that take long: kills, full disks, roll-backs, the auditor's page
	@$(PY) -m pytest $(PARALLEL) -m long $(ARGS)

check: style types policy dockerfile ## Run every static check

style: .venv/dev.stamp ## Lint, formatting, import rules
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	.venv/bin/lint-imports

types: .venv/dev.stamp ## Strict types on code, tests, examples and the benchmark
	$(PY) -m mypy --strict --explicit-package-bases gateway sealgate tests examples bench campaign fuzz faults

policy: .venv/dev.stamp ## Check and test the policies with the embedded engine, and with a real OPA where there is one
	.venv/bin/sealgate policy check
	.venv/bin/sealgate policy test
	@$(OPA) check --strict --capabilities tests/opa/capabilities.json policies
	@$(OPA) fmt --list --fail policies
	@$(OPA) test policies

dockerfile: ## Lint the Dockerfile, where hadolint is installed
	@.ci/with "$(HADOLINT)" 'make .cache/lint/bin/hadolint' Dockerfile

bench: .venv/bench.stamp ## Measure what governing a call costs
	@$(PY) -m bench.run $(ARGS)

bench-log: .venv/dev.stamp ## Measure the log as it grows: appending, proofs, verification
	@$(PY) -m bench.log_growth $(ARGS)

bench-policy: .venv/dev.stamp ## Measure what a decision costs with 10 registered tools and with 10,000
	@$(PY) -m bench.policy_cost $(ARGS)

bench-catalogue: .venv/bench.stamp ## Measure calls, lists and searches with 10 tools and with 10,000
	@$(PY) -m bench.catalogue $(ARGS)

bench-security: .venv/dev.stamp .cache/security/stamp ## Attack agents behind the gateway with AgentDojo's suites, and count what takes effect (ARGS)
	@$(PY) -m bench.security.run $(ARGS)

conformance: .venv/dev.stamp ## Run the official MCP conformance suite directly and through a gateway, and compare every check (ARGS)
	@$(PY) -m tests.conformance.run $(ARGS)

faults: .venv/dev.stamp ## Break disk, process, clock and network under a gateway and count what was lost (ARGS)
	@$(PY) -m faults.run $(ARGS)

fuzz: .venv/dev.stamp .cache/fuzz/stamp ## Throw hostile input at everything that reads it, and count what it did (ARGS)
	@$(PY) -m fuzz.run $(ARGS)

lock: ## Compile the lock files from pyproject.toml (needs uv; UPGRADE=1 takes newer versions)
	@.ci/lock $(if $(UPGRADE),--upgrade)

clean: ## Remove what was built; the gateway's state and the example data stay
	rm -rf .venv .cache dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache tests/node/node_modules

.cache/lint/bin/hadolint: .ci/lint.lock
	@$(or $(PYTHON),python3) -m venv .cache/lint
	@.cache/lint/bin/pip install --quiet --only-binary :all: --require-hashes -r $<
	@touch $@

.cache/security/stamp: locks/security.lock | .venv/dev.stamp
	@$(PY) -m venv .cache/security/venv
	@.cache/security/venv/bin/pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r $<
	@touch $@

.cache/peers/stamp: locks/peers.lock | .venv/dev.stamp
	@$(PY) -m venv .cache/peers/venv
	@.cache/peers/venv/bin/pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r $<
	@touch $@

.cache/fuzz/stamp: locks/fuzz.lock | .venv/dev.stamp
	@$(PY) -m venv .cache/fuzz/venv
	@.cache/fuzz/venv/bin/pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r $<
	@touch $@

.venv/%.stamp: locks/%.lock locks/build.lock pyproject.toml .ci/setup
	@.ci/setup $<
	@touch $@
