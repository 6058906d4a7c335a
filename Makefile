# The two commands, `make demo` and `make test`, and their parts. Each creates .venv by itself; what is
# assumed is python3 (3.11 or newer, with venv) and the network access that pip needs.

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input install

# A PowerShell for the tests, where the machine has none of its own.
PWSH_DIR := $(if $(shell command -v pwsh 2>/dev/null),,$(abspath $(dir $(wildcard ../shared/powershell/pwsh))))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test check bench format docs screenshots clean

help:  ## list these targets
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' Makefile | expand -t 10
	@echo
	@echo "make demo ARGS='--port 9000 --data-dir /tmp/jobs' passes the arguments on; ARGS=--help lists them."

demo: $(VENV)/.demo  ## run the demo host on 127.0.0.1:8080; ARGS=--once submits a few jobs, shows them and ends
	@exec $(BIN)/python -m demo_app $(ARGS)

test: export PATH := $(PATH)$(if $(PWSH_DIR),:$(PWSH_DIR))
test: check  ## everything that must pass: check, then the tests
	@command -v pwsh >/dev/null || echo "There is no pwsh on PATH or in ../shared/powershell: PowerShell's tests are skipped." >&2
	@# Real processes, browsers and servers, all at once: what fails is run once more, alone, and has to pass then.
	$(BIN)/pytest -n auto || { \
		echo "Some tests failed. They are run again, one after the other: what passes now depends on the machine's load." >&2; \
		$(BIN)/pytest --last-failed --last-failed-no-failures none -p no:xdist; }

check: $(VENV)/.test  ## formatting, lint, types, and the docs without warnings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@if [ -f docs/conf.py ]; then $(MAKE) --no-print-directory docs; fi

docs: $(VENV)/.test  ## build the documentation into docs/_build/html
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html

bench: $(VENV)/.bench  ## measure it beside the machine's limit and its peers into docs/benchmarks.md; ARGS=--quick
	$(BIN)/python -m benchmarks $(ARGS)

screenshots: $(VENV)/.test  ## pictures of the page into docs/_static/screenshots; needs Chromium
	$(BIN)/python -m tests.ui.screenshots

format: $(VENV)/.test  ## format the code, and fix what the linter can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove what these targets made, but not demo_data
	rm -rf $(VENV) benchmarks/.venvs benchmarks/.last build dist docs/_build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
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

$(VENV)/.bench: $(VENV)/.created setup.cfg pyproject.toml
	@echo "Installing the benchmark's tools into $(VENV) …"
	@$(PIP) --no-compile --editable '.[bench]'
	@touch $@

$(VENV)/.test: $(VENV)/.created setup.cfg pyproject.toml
	@echo "Installing the tests' tools into $(VENV) …"
	@$(PIP) --editable '.[test]'
	@touch $(VENV)/.demo $@
