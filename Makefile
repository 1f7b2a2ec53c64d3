# Two commands: `make demo` and `make test`. Both set up what they need in .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DONE := $(VENV)/.installed

# The tests start hundreds of short processes: our modules are compiled once, not by each of them.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test check lint types layers lock schema docs bench local local-down clean

help: ## Show the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: $(DONE) ## Make the virtual environment from requirements.lock; nothing where that is done.

# --no-deps: the lock is complete, and pip must not look for anything that is not in it.
$(DONE): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] not in {(3, 11), (3, 12), (3, 13)})' \
	  || { echo "Python 3.11, 3.12 or 3.13 is needed; $(PYTHON) is $$($(PYTHON) -V 2>&1). Name another: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(DONE)

demo: setup ## Run basic-pod-failure on the embedded sandbox, in rehearsal time.
	@$(BIN)/gameday run basic-pod-failure --env staging --sandbox --reason "first look"

test: setup ## Run the tests.
	$(BIN)/pytest -q -n 4 --dist loadfile --no-loadscope-reorder

check: lint types layers ## Lint, format, types and layers.

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

layers: setup
	$(BIN)/lint-imports

# Without -E a page that is made from the code would stay as it was.
docs: setup ## Build the documentation, strictly, into build/docs.
	$(BIN)/sphinx-build -W --keep-going -n -E -q -b html -d build/doctrees docs build/docs

schema: setup ## Write the JSON Schemas of the experiment files anew.
	$(BIN)/python -m gameday.spec.schema

lock: ## Resolve requirements.lock anew from pyproject.toml (needs uv on the PATH).
	{ echo '# The pinned set for Python 3.11 to 3.13, with hashes. Made by `make lock` from pyproject.toml.'; \
	  uv pip compile pyproject.toml --extra dev --universal --generate-hashes --no-strip-extras \
	    --python-version 3.11 --no-header --quiet; } > requirements.lock.new
	mv requirements.lock.new requirements.lock

bench: setup ## Run every benchmark and print its figures.
	@for script in benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

local: setup ## Make a cluster with kind: Chaos Mesh, Prometheus, Grafana, guard, a stand-in for the platform.
	PYTHON=$(BIN)/python deployments/local/up.sh

local-down: ## Delete that cluster.
	kind delete cluster --name gameday

clean: ## Remove the virtual environment and everything that was built.
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
