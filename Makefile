# Two targets for users: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
ENV ?= proveout/Reach-v0

.PHONY: demo test dev links test-slow install install-dev lint types imports unit cuda-check clean help

help:
	@echo "make demo   install into $(VENV), train $(ENV), evaluate it, write a video (about 5 minutes)"
	@echo "make test   install with the dev extra, then ruff, mypy, import-linter and all tests (about 14 minutes)"
	@echo "make dev    install with the dev extra, and links that editors follow (see CONTRIBUTING.md)"
	@echo "make test-slow   the longer runs of fuzz and kill tests"
	@echo "make clean  remove $(VENV) and caches; runs stay"

$(BIN)/python:
	@echo "== creating $(VENV) (a few seconds)"
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python pyproject.toml setup.py constraints.txt
	@echo "== installing proveout and its pinned dependencies (one to two minutes)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: $(BIN)/python pyproject.toml setup.py constraints.txt
	@echo "== installing proveout with its dev extra (one to two minutes)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@ $(VENV)/.installed

install: $(VENV)/.installed

install-dev: $(VENV)/.installed-dev

demo: install
	@echo "== training $(ENV), then evaluating it and writing a video (about 3 minutes on two cores)"
	$(BIN)/proveout train $(ENV)

test: install-dev lint types imports unit

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Type checkers and editors do not follow setuptools' mapping of an editable install: links stand in
# for it.
links:
	@mkdir -p .types/proveout
	@for root in assets envs policies training; do ln -sfn ../../$$root .types/proveout/$$root; done

dev: install-dev links

types: links
	MYPYPATH=.types $(BIN)/mypy -p proveout

imports:
	$(BIN)/lint-imports

unit:
	$(BIN)/python -m pytest

# Kernels of all supported generations of GPUs; `make test` compiles those for sm_90.
cuda-check: install-dev
	$(BIN)/python -m pytest tests/conformance/test_cuda_compile.py -m "slow or not slow"

test-slow: install-dev
	$(BIN)/python -m pytest -m slow

clean:
	rm -rf $(VENV) .venv-* .types .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
