# Everything runs in .venv, which is made when it is missing and brought up to date when
# pyproject.toml changes. Nothing else has to be installed first but Python 3.11 or newer.

PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11,$(shell $(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# Tests start hundreds of processes: modules are compiled once, not by each of them.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint bench soak clean

demo: $(INSTALLED)  ## 150 days of a fake property into SQLite, over a real socket
	$(BIN)/gsc-trio demo

test: lint  ## style, types, then the tests, on all cores
	$(BIN)/python -m pytest --numprocesses=auto --dist=worksteal

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(INSTALLED)  ## the speed-up over the sequential path, in two minutes
	$(BIN)/python -m benchmarks.backfill_150

soak: $(INSTALLED)  ## what the tests do in small, for about an hour: crashes, kills, fuzzing
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[soak]' || echo "no fuzzer here: inputs are made by blind mutation" >&2
	$(BIN)/python -m tests.soak

$(INSTALLED): pyproject.toml
	@test -n "$(PYTHON)" || { echo "gsc-trio needs Python 3.11 or newer on the PATH" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
