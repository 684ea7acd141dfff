# Everything a fresh machine needs is Python 3.11 or newer and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: run test check format rows docs bench lock clean help

help:  ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

run: $(VENV)/.runtime  ## Set up and start the gateway with its demonstration channel
	@$(BIN)/dragoman serve --demo $(ARGS)

test: $(VENV)/.dev check  ## Set up and run every test
	@$(BIN)/pytest -n auto $(ARGS)

check: $(VENV)/.dev  ## Lint, types and architecture, in under half a minute
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/pytest -q tests/test_architecture.py

format: $(VENV)/.dev  ## Format and sort imports
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

rows: $(VENV)/.dev  ## Show which requirement is proven by which test
	@$(BIN)/python -m tests.rows $(ARGS)

docs: $(VENV)/.runtime  ## Write the pages that are made from data
	@$(BIN)/python -m dragoman.providers.page > docs/providers.md

bench: $(VENV)/.dev  ## Measure; see docs/performance.md
	@$(BIN)/python -m benchmarks $(ARGS)

lock: $(VENV)/.dev  ## Pin the newest versions that fit pyproject.toml, with hashes
	@$(BIN)/pip install -q uv
	@$(BIN)/uv pip compile -q --upgrade --universal --generate-hashes --no-emit-index-url --no-header \
	    --python-version 3.11 pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile -q --upgrade --universal --generate-hashes --no-emit-index-url --no-header \
	    --python-version 3.11 pyproject.toml --all-extras -c requirements.lock -o requirements-extras.lock
	@$(BIN)/uv pip compile -q --upgrade --universal --generate-hashes --no-emit-index-url --no-header \
	    --python-version 3.11 pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock

clean:  ## Remove what the targets above made
	@rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis reports

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("Dragoman needs Python 3.11 or newer; try make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.lock pyproject.toml | $(BIN)/python
	@echo "Installing Dragoman into $(VENV) ..."
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	@echo "Installing the test tools ..."
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@
