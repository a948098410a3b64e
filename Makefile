# Everything a newcomer needs: `make demo`, `make test`. Set-up is part of both.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help demo test lint format bench setup clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-8s %s\n", $$1, $$2}'

demo: $(READY) ## train a network, make it parallel, stream a video, write demo/report.html
	$(BIN)/mpvn demo --output demo

test: $(READY) ## run the tests
	$(BIN)/python -m pytest

lint: $(READY) ## formatter, linter and type checker, changing nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY) ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY) ## run the benchmarks (long; leave the machine alone meanwhile)
	$(BIN)/python benchmarks/streaming/run.py

setup: $(READY) ## only make the virtual environment

# A build of TensorFlow that is in the environment already, for a GPU say, is kept.
$(READY): setup.py constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	extras=test,lint,tfds,jhmdb,flow; $(BIN)/python -c "import importlib.util as u, sys; sys.exit(u.find_spec('tensorflow') is None)" \
	  || extras=$$extras,cpu; $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e ".[$$extras]"
	touch $@

clean: ## remove what demo and tests wrote, and the environment
	rm -rf $(VENV) demo .pytest_cache .ruff_cache .mypy_cache .hypothesis
