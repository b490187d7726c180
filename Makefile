# A bare machine needs python3, make and git; everything else is installed into .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install run test lock clean

install: .venv/.installed

.venv/.installed: requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv==0.13.9"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

# The main job: CAREVL against distillation on the embedded world; offline, on a plain CPU.
run: install
	HF_HUB_OFFLINE=1 $(BIN)/harness run --recipe carevl --tasks vlrewardbench

test: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	HF_HUB_OFFLINE=1 $(BIN)/pytest

# Rewrites the locks: all extras, and the core alone in the same versions. They record hashes and no index address.
COMPILE := $(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --python-version 3.11
lock: install
	$(COMPILE) --all-extras pyproject.toml --output-file requirements.txt
	$(COMPILE) --constraints requirements.txt pyproject.toml --output-file requirements-core.txt

clean:
	rm -rf .venv dist build results/runs results/cache
