# One way in. `make help` lists the targets.
SHELL := bash
.SHELLFLAGS := -o pipefail -c
# The first Python of a version that is supported, under any usual name; 3.11 is the one that is tested.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	$$name -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null && echo $$name && break; done)
VENV := .venv
BIN := $(VENV)/bin
# Each process uses one core unless set otherwise, so that two suites, or a suite and a job, can share a machine.
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup install demo up check figures fix test coverage interop cases test-gpu catalog openapi reference docs migration clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

setup: $(VENV)/.installed ## make .venv with everything to develop, at pinned versions

install: $(VENV)/.server ## make .venv with the service alone, at pinned versions

PIP = $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --constraint constraints.txt
# A line for each wheel of some size, so that nobody waits in front of nothing.
SHOW_WHEELS = awk '/(Downloading|Using cached) .*MB\)/ {sub(/.*\//, "", $$2); printf "  %s %s %s\n", $$2, $$3, $$4; fflush()} \
	/^Installing collected/ {print "  unpacking " NF - 3 " packages ..."; fflush()} /^ERROR/ {print > "/dev/stderr"}'

# torch goes first: with it in place pip keeps the build this machine's index gives for the pinned version.
$(VENV)/.server: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Plinth needs Python 3.11 to 3.14, and none is on PATH. Name one: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip==26.3
	@echo "Installing 1 of 2: PyTorch (half a minute to two minutes) ..."
	@$(PIP) "torch==2.13.0" | $(SHOW_WHEELS)
	@echo "Installing 2 of 2: everything else (as long again) ..."
	@$(PIP) --editable '.[server,heic]' | $(SHOW_WHEELS)
	@touch $@

$(VENV)/.installed: $(VENV)/.server
	@echo "Installing the tools of developers ..."
	@$(PIP) --editable '.[dev]' | $(SHOW_WHEELS)
	@touch $@

demo: install ## upload, pretrain, fine-tune, evaluate and predict, on handwritten digits
	@$(BIN)/plinth demo

up: install ## start the whole service and stay
	@$(BIN)/plinth up

check: setup ## formatting, lint, types, imports, names, wording, structure, references, internals of uvicorn
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m tools.check_all
	@$(BIN)/pytest --quiet tests/app/http/test_uvicorn_internals.py

figures: setup ## lengths of functions, sizes of rooms, vague names, import cycles
	@$(BIN)/python -m tools.check_structure --figures
	@$(BIN)/python -m tools.check_names --figures
	@$(BIN)/python -m tools.check_imports --figures

fix: setup ## format, and mend what can be mended
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

test: setup ## the whole suite
	@$(BIN)/pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder

coverage: setup ## the whole suite with branch coverage, child processes included; slower
	@$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --cov --cov-report=term

interop: setup .venv-interop/.installed ## read datasets that the tools of the field write, in an environment of their own
	@PLINTH_INTEROP_PYTHON=$(CURDIR)/.venv-interop/bin/python $(BIN)/pytest tests/interop

.venv-interop/.installed: tests/interop/requirements.txt
	@test -x .venv-interop/bin/python || $(PYTHON) -m venv .venv-interop
	@.venv-interop/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/interop/requirements.txt
	@touch $@

cases: setup ## the inputs of public bug reports, also those that take minutes
	@PLINTH_ALL_CASES=1 $(BIN)/pytest tests/test_shared_cases.py

test-gpu: setup ## the tests that need a GPU
	@$(BIN)/pytest -m gpu

catalog: setup ## write ml/spec/catalog.json from the registries
	@$(BIN)/python -m tools.build_catalog > ml/spec/catalog.json.new && mv ml/spec/catalog.json.new ml/spec/catalog.json

openapi: setup ## write docs/reference/openapi.json from the routes
	@$(BIN)/python -m tools.build_openapi > docs/reference/openapi.json.new && mv docs/reference/openapi.json.new docs/reference/openapi.json

reference: setup ## write docs/reference from the code, and the index of decisions
	@$(BIN)/python -m tools.build_reference

docs: setup ## build the documentation site in site/
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt zensical
	@$(BIN)/zensical build --clean --strict

migration: setup ## write a migration: make migration name=add_a_column
	@$(BIN)/alembic --config migrations/alembic.ini revision --autogenerate --message "$(name)"

clean: ## remove .venv and caches
	@rm -rf $(VENV) .venv-interop .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info site .cache .coverage*
