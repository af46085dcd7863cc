# Everything here does its own set-up; the second time that takes a few seconds.
.DEFAULT_GOAL := help
.PHONY: help setup demo test fuzz matrix ledger inbox drill workspace mail check bench doctor clean
SHELL := /bin/sh

BIN := .venv/bin
SCENARIO := scenarios/backoffice/crashed-host.yaml
TRIALS ?= 5
SEED ?= 7
LANES ?= 2

help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' Makefile

setup: .venv/ready ## A .venv with the package, a Docker engine with compose v2, and the images
	@$(BIN)/shaketable engine up
	@$(BIN)/shaketable images $(SCENARIO)

demo: setup ## The first incident, both variants: a printed matrix and the path of report.html
	$(BIN)/shaketable prove $(SCENARIO) --trials $(TRIALS) --seed $(SEED) --lanes $(LANES) $(if $(OUT),--out $(OUT))

test: setup ## All tests: those without Docker, then those on real containers
	$(BIN)/python -m pytest tests/unit
	$(BIN)/python -m pytest tests/docker

fuzz: .venv/ready ## 5,000 generated fault specifications, valid and not
	FUZZ=5000 $(BIN)/python -m pytest tests/unit/test_fault_fuzz.py

matrix: setup ## Every fault with every bad end (agent, harness, target, engine): long
	CLEANUP_EVENTS=all CLEANUP_HARNESS=all RESTART_KINDS=all $(BIN)/python -m pytest tests/docker/test_cleanup_matrix.py \
		tests/docker/test_harness_ends.py tests/docker/test_engine_restart.py

ledger: setup ## Acknowledged writes under power-off, 30 trials of each: minutes
	$(BIN)/shaketable prove scenarios/ledger/power-off.yaml --trials 30 --seed $(SEED) $(if $(OUT),--out $(OUT))

inbox: setup ## The four scenarios of the social inbox, both variants, 5 trials each: half an hour
	$(BIN)/shaketable prove scenarios/inbox --trials $(TRIALS) --seed $(SEED) $(if $(OUT),--out $(OUT))

drill: setup ## A database cluster destroyed and re-created under load, ten times in a row: two minutes
	DRILLS=10 $(BIN)/python -m pytest tests/docker/test_rebuild_cluster.py

workspace: setup ## The scenarios of the agents' workspace, both variants, 5 trials each: half an hour
	$(BIN)/shaketable prove scenarios/workspace --trials $(TRIALS) --seed $(SEED) $(if $(OUT),--out $(OUT))

mail: setup ## The scenarios of the shared mail servers, both variants, 5 trials each: 45 minutes
	$(BIN)/shaketable prove scenarios/mail --trials $(TRIALS) --seed $(SEED) $(if $(OUT),--out $(OUT))

check: .venv/ready ## Lint, format and strict types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: ## Benchmarks, as JSON on stdout
	@$(MAKE) --no-print-directory setup >&2
	@$(BIN)/python tests/bench/bench.py

doctor: .venv/ready ## What works on this machine, and what to do about what does not
	@$(BIN)/shaketable doctor

clean: ## Remove the .venv, caches and runs; `shaketable engine down` first stops an engine that was started here
	rm -rf .venv .mypy_cache .ruff_cache .hypothesis runs

# Ready is said of these very dependencies, this very place and this Python: a checkout that was moved is set up again.
.venv/ready: FORCE
	@sh .ci/venv
FORCE:
