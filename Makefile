# `make demo` and `make test` set themselves up: they need Python 3.11 or newer with venv, and nothing else.

PYTHON  ?= python3
VENV    ?= .venv
WORKERS ?= 2
BIN     := $(VENV)/bin
PIP     := $(BIN)/python -m pip --disable-pip-version-check --no-input
PEERS   := .venv-peers
# The tests that also run with array bounds checked inside the kernels.
KERNEL_TESTS ?= $(wildcard tests/kernels tests/test_kernel*.py)

export MPLBACKEND ?= Agg
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test lint pytest boundscheck slow orders hostile soak bench clean

help:
	@echo "make demo         learn a sine and real handwritten digits; pictures go to out/"
	@echo "make test         linters, types, import direction, tests"
	@echo "make lint         the same without the tests"
	@echo "make boundscheck  the kernels' tests with array bounds checked"
	@echo "make slow         the tests that take minutes"
	@echo "make orders       processes over one kernel cache in 300 orders; ARGS='--random 20' for fewer"
	@echo "make hostile      every operation on every kind of operand (15 minutes); ARGS=--quick for the short form"
	@echo "make soak         damaged files, kills, threads, long graphs and training (20 minutes); ARGS=--quick"
	@echo "make bench        measures beside PyTorch and JAX (its own environment, .venv-peers); ARGS=--quick for a first look"
	@echo "make clean        remove .venv, caches and out/"

demo: $(VENV)/.ready-examples
	@echo "== examples/sine.py"
	@$(BIN)/python examples/sine.py
	@echo "== examples/mnist.py"
	@$(BIN)/python examples/mnist.py
	@echo "== the pictures are in out/"

# One recipe, not prerequisites: the order holds, the first failure stops, pytest speaks last.
test: $(VENV)/.ready-test
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory pytest

lint: $(VENV)/.ready-test
	@echo "== ruff check"
	@$(BIN)/ruff check .
	@echo "== ruff format --check"
	@$(BIN)/ruff format --check .
	@echo "== pyright"
	@$(BIN)/pyright --pythonpath $(BIN)/python
	@echo "== lint-imports"
	@$(BIN)/lint-imports --no-logo

pytest: $(VENV)/.ready-test
	@echo "== pytest"
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow" $(PYTEST_ARGS)

# What takes longer than the eight minutes of `make test` allow.
slow: $(VENV)/.ready-test
	@echo "== pytest, the slow ones"
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m slow $(PYTEST_ARGS) tests

# Bounds checking is not part of numba's cache key: the cache must be fresh, and must not be kept.
boundscheck: $(VENV)/.ready-test
	@test -n "$(KERNEL_TESTS)" || { echo "boundscheck: no tests/kernels and no tests/test_kernel*.py"; exit 1; }
	@echo "== pytest with NUMBA_BOUNDSCHECK=1: $(KERNEL_TESTS)"
	@cache=$$(mktemp -d) && trap 'rm -rf "$$cache"' EXIT && \
	NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR="$$cache/numba" AUTOGRAD_CORE_CACHE="$$cache/autograd_core" \
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow" $(PYTEST_ARGS) $(KERNEL_TESTS)

# Processes that fill one kernel cache, in all pairs and in random orders: most of an hour.
orders: $(VENV)/.ready-test
	@$(BIN)/python -m tools.hostile.orders $(ARGS)

# Each call runs in a process that may die: a crash is one named cell. tools/hostile says what counts as right.
hostile: $(VENV)/.ready-test
	@$(BIN)/python -m tools.hostile $(ARGS)

soak: $(VENV)/.ready-test
	@$(BIN)/python -m tools.soak $(ARGS)

bench: $(PEERS)/.ready
	@$(PEERS)/bin/python -m tools.bench $(ARGS)

clean:
	rm -rf .venv out build dist .pytest_cache .hypothesis .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- set-up, done once; again only when pyproject.toml changes

$(VENV)/.ready-python:
	@command -v $(PYTHON) >/dev/null 2>&1 || \
	{ echo "There is no $(PYTHON) here. Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "autograd-core needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Name another: make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	{ echo "$(PYTHON) has no venv. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "== setting up $(VENV) with $$($(PYTHON) -V 2>&1) (once, a minute or two)"
	@rm -rf $(VENV) && $(PYTHON) -m venv $(VENV) && touch $@

# pip's log goes to a file; of its lines, those that say how far it is are shown.
$(VENV)/.ready-%: pyproject.toml $(VENV)/.ready-python
	@echo "== installing autograd-core[$*] and what it needs into $(VENV)"
	@{ $(PIP) install --progress-bar off -e ".[$*]" 2>&1; echo "exit status $$?"; } | tee $(VENV)/install-$*.log | awk ' \
	  /^ *(Downloading|Using cached) .*\.(whl|tar\.gz)/ && !/metadata/ { n = split($$0, w, " "); f = w[n-2]; \
	      sub(/.*\//, "", f); split(f, p, "-"); print "   " p[1], p[2], w[n-1], w[n]; fflush() } \
	  /^Installing collected packages/ { print "   unpacking", NF - 3, "packages"; fflush() } \
	  /^exit status/ { status = $$3 } END { exit status }' \
	|| { tail -n 20 $(VENV)/install-$*.log; echo "The installation failed; the whole log is $(VENV)/install-$*.log" >&2; exit 1; }
	@touch $@

# PyTorch and JAX, to measure against, never come into the project's own environment.
$(PEERS)/.ready: pyproject.toml
	@echo "== setting up $(PEERS) with PyTorch and JAX (once, some minutes)"
	@test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip --disable-pip-version-check --no-input install torch==2.13.0 "jax>=0.10" matplotlib -e .
	@touch $@
