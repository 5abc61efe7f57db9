# Targets make their own .venv from the pins; nothing is installed outside this directory.

PYTHON ?= python3
BIN := .venv/bin
PINS := deploy/requirements.txt
STAMP := .venv/installed-from-pins
SCALE ?= 1
SPREAD := --numprocesses auto --dist worksteal

.PHONY: help demo run replay test coverage test-long test-clients bench clean pins
.DEFAULT_GOAL := help

help:
	@echo 'make demo    route simulated questions and show what it saved; no key, no network'
	@echo 'make run     serve the sandbox on http://127.0.0.1:8080; no key, no network'
	@echo 'make replay FILES=answers.jsonl [OPTIONS=--sweep]   run policies over recorded answers'
	@echo 'make test    format, lint, types, layers, tests on all cores; stops at the first that fails'
	@echo 'make coverage   the same tests, counting what they run of the gateway; twice the time'
	@echo 'make test-long [PART="kills soak"] [SCALE=0.1]   what takes minutes: each part on its own, or all'
	@echo 'make test-clients   seven real clients, Python and Node, against a running gateway'
	@echo 'make bench   what routing costs beside a bare proxy: CPU, latency, memory; a quarter of an hour'
	@echo 'make pins    resolve the dependencies again into $(PINS); needs uv'
	@echo 'make clean   remove .venv and what tools left behind; records in data/ stay'
	@echo 'All need Python 3.11, 3.12 or 3.13; name another one with PYTHON=python3.12'

demo: $(STAMP)
	$(BIN)/autoshift demo

run: $(STAMP)
	$(BIN)/autoshift serve --sandbox

replay: $(STAMP)
	@test -n '$(FILES)' || { echo 'Name the recordings: make replay FILES=answers.jsonl' >&2; exit 2; }
	$(BIN)/autoshift replay $(FILES) $(OPTIONS)

test: $(STAMP)
	@echo '[1/5] ruff format --check' && $(BIN)/ruff format --check .
	@echo '[2/5] ruff check' && $(BIN)/ruff check .
	@echo '[3/5] mypy' && $(BIN)/mypy
	@echo '[4/5] lint-imports' && $(BIN)/lint-imports
	@echo '[5/5] pytest' && $(BIN)/python -m pytest $(SPREAD)

coverage: $(STAMP)
	@rm -f .coverage* && $(BIN)/coverage run -m pytest $(SPREAD)
	@$(BIN)/coverage report

bench: $(STAMP)
	$(BIN)/python -m tests.bench $(OPTIONS)

test-long: $(STAMP)
	$(BIN)/python -m tests.long $(PART) --scale $(SCALE) $(OPTIONS)

test-clients: $(STAMP)
	$(BIN)/python -m tests.clients

$(STAMP): pyproject.toml $(PINS)
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo 'Autoshift needs Python 3.11, 3.12 or 3.13; $(PYTHON) is '"$$($(PYTHON) -V 2>&1)"'; try: make PYTHON=python3.12' >&2; exit 1; }
	@echo 'Setting up .venv: the first time takes a minute or two'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r $(PINS)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	@touch $@

RESOLVE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --no-header

pins:
	$(RESOLVE) pyproject.toml --upgrade --group dev --group build -o $(PINS)
	$(RESOLVE) pyproject.toml --group build -c $(PINS) -o deploy/requirements-image.txt
	cd tests/clients/pins && for client in *.in; do \
		$(RESOLVE) --upgrade $$client -o requirements-$${client%.in}.txt || exit; done
	cd tests/clients/node && npm install --package-lock-only

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage* build dist
	find app tests -name __pycache__ -type d -prune -exec rm -rf {} +
