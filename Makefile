# Two commands for a newcomer, from nothing but Python 3.11 or newer and make:
#   make demo     install, then run the main job on embedded defaults
#   make check    install, then everything that must hold; the same that CI calls

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV ?= .venv
DEMO_VENV ?= .venv-demo
FOR ?= 60s
# A third worker fills the time in which tests wait for processes and clocks; long tests are taken from a busy one.
PYTEST_FLAGS ?= -n 3 --dist worksteal
# What is compiled is kept for all other tests. All tests are read for these few: so every worker finds them rewritten.
COMPILED = -k "test_compiled_it or test_compiled_they"
BENCHMARKS ?= energy_fit energy_fit_tasks energy_model fleet_planning forecast_savings gateway peers pieces single_job window_search

# Installed without bytecode, every process of every test would else compile all that it imports: a daemon takes seconds.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

.PHONY: help demo check quick install lint types compiled test fast-test fmt docs lock bench clean

help: ## Show the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

demo: $(DEMO_VENV)/.installed ## Install, then run the main job on embedded defaults (FOR=60s)
	$(DEMO_VENV)/bin/slacktide demo --for $(FOR)

# While one process checks types, another compiles the simulator's loops, which several tests would else do at once.
check: $(VENV)/.installed ## Lint, format, types, every test: the command that CI calls
	$(MAKE) -j 2 -O lint types compiled
	$(MAKE) test

quick: lint types fast-test ## The fast part of check, for every commit

install: $(VENV)/.installed ## Make the development environment in $(VENV)

lint: $(VENV)/.installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: $(VENV)/.installed
	$(VENV)/bin/mypy

compiled: $(VENV)/.installed
	$(VENV)/bin/pytest $(COMPILED)

test: $(VENV)/.installed
	$(VENV)/bin/pytest $(PYTEST_FLAGS)

fast-test: $(VENV)/.installed
	$(VENV)/bin/pytest $(PYTEST_FLAGS) -m "not slow"

fmt: $(VENV)/.installed ## Format, and mend what the linter can mend
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

docs: $(VENV)/.installed ## Write the generated reference of settings, commands and job states
	$(VENV)/bin/python docs/generate.py

bench: $(VENV)/.installed ## Run every benchmark; each prints a table
	@set -e; for name in $(BENCHMARKS); do echo "== $$name"; $(VENV)/bin/python -m benchmarks.$$name; done

# Without the addresses of any index: the lock must serve whoever has another mirror.
LOCK = $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-config \
	--no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make lock" pyproject.toml

lock: $(VENV)/.installed ## Resolve the dependencies anew into both locks (UPGRADE=1 for newer ones)
	$(LOCK) $(if $(UPGRADE),--upgrade) --group build -o requirements.lock
	$(LOCK) $(if $(UPGRADE),--upgrade) --all-extras --group dev -c requirements.lock -o requirements-dev.lock

clean: ## Remove environments and caches
	rm -rf $(VENV) $(DEMO_VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist

$(VENV)/.installed: requirements-dev.lock requirements-beside.lock pyproject.toml
	$(call create,$(VENV),requirements-dev.lock)
	$(VENV)/bin/$(PIP) --no-deps --ignore-requires-python --require-hashes -r requirements-beside.lock
	@touch $@

$(DEMO_VENV)/.installed: requirements.lock pyproject.toml
	$(call create,$(DEMO_VENV),requirements.lock)
	@touch $@

PIP = python -m pip install --quiet --disable-pip-version-check

# $(1) environment, $(2) lock. The package itself is installed last, without asking any index again. Of two hundred
# megabytes of Python only what is imported is compiled, when it is.
define create
	@test -n "$(PYTHON)" || { echo "Slacktide needs Python 3.11 or newer: install it, or say make PYTHON=/path/to/python" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' || { echo "this Python has no venv: install it (Debian: apt-get install python3-venv)" >&2; exit 2; }
	@echo "installing into $(1); the first time takes a minute or so"
	@$(PYTHON) -m venv $(1)
	$(1)/bin/$(PIP) --no-compile --require-hashes --only-binary :all: -r $(2)
	$(1)/bin/$(PIP) --no-deps --no-build-isolation -e .
endef
