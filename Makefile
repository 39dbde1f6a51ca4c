# Two commands do everything on a fresh machine: `make run` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test quick test-vllm lint types layers bench fmt lock

run: .venv/installed
	@$(BIN)/python manage.py serve $(if $(CONFIG),--config "$(CONFIG)")

test: .venv/installed-dev
	@$(BIN)/python -m tests

quick: .venv/installed-dev
	@$(BIN)/python -m tests.quick

test-vllm: .venv/installed-dev
	@$(BIN)/python -m pytest -m vllm tests/vllm

lint: .venv/installed-dev
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: .venv/installed-dev
	@$(BIN)/mypy

layers: .venv/installed-dev
	@$(BIN)/lint-imports

bench: .venv/installed-dev
	@$(BIN)/python -m benchmarks

fmt: .venv/installed-dev
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

# Pins the dependencies of pyproject.toml with hashes (needs uv).
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml -o requirements.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml --group dev -c requirements.txt -o requirements-dev.txt

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "The gateway needs Python 3.11, 3.12 or 3.13; name one with: make run PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv .venv

.venv/installed: requirements.txt | .venv/bin/python
	@echo "Installing the gateway's dependencies into .venv …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

.venv/installed-dev: requirements-dev.txt .venv/installed
	@echo "Installing what the tests need into .venv …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@
