# `make` alone shows what there is. .venv holds everything; `make clean` removes it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# Two workers, a file of tests each: tests start servers, and those of one file share theirs. A worker that crashes ends
# the run, which names its test: were it replaced, what it had left would wait for it for ever.
TEST_ARGS ?= -n 2 --dist loadfile --max-worker-restart 0
INPUTS := pyproject.toml constraints.txt .ci/setup-venv

.PHONY: help demo test check format bench crash fuzz lock clean

help: ## Show what there is
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

demo: $(VENV)/.core ## Run real jobs over real prices; ARGS="--once" ends by itself
	@$(BIN)/execlog demo $(ARGS)

test: $(VENV)/.test ## Set up everything, then run every test; ARGS="-k name" narrows it
	@.ci/setup-system
	@$(BIN)/python -m pytest -rs $(TEST_ARGS) $(ARGS)

check: $(VENV)/.test ## Lint, format, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

format: $(VENV)/.test ## Mend what lint and format can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.test ## Run the benchmarks; ARGS="import_time" runs one
	@.ci/bench $(ARGS)

# A test at a time to whoever is idle: by files, one worker would wait for hours for the other.
crash: $(VENV)/.test ## The long form of the crash and fault tests: some three hours
	@.ci/setup-system
	@EXECLOG_CRASH=long $(BIN)/python -m pytest -rs -n 2 --dist worksteal --max-worker-restart 0 -m crash $(ARGS)

fuzz: $(VENV)/.test ## Send 20,000 made-up requests to the API; EXECLOG_SCHEMA_SEED draws others
	@EXECLOG_SCHEMA_CASES=$${EXECLOG_SCHEMA_CASES:-20000} $(BIN)/python -m pytest -s tests/web/test_schema.py $(ARGS)

lock: ## Write constraints.txt anew, with the newest versions within the bounds
	@.ci/lock

clean: ## Remove the environment and everything that was built
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

$(VENV)/.core: $(INPUTS)
	@.ci/setup-venv core

$(VENV)/.test: $(INPUTS)
	@.ci/setup-venv test
	@touch $(VENV)/.core
