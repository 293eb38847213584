# `make demo` and `make test` are all the set-up a fresh machine with Python 3.11 needs.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
.DEFAULT_GOAL := help

.PHONY: help demo test style bench constraints clean

help:  ## list the commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

# Rebuilt when the dependencies change; complete or absent.
.venv/ready: constraints.txt setup.cfg
	@echo "Building .venv with $(PYTHON) ..."
	rm -f $@
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch setuptools wheel
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-build-isolation --editable '.[dev]'
	touch $@

# Threads that wait yield early: with other processes on the machine they would take each other's time.
demo test: export GOMP_SPINCOUNT ?= 3000

demo: .venv/ready  ## label sounds, pretrain, fine-tune, reload: the bundled model on the bundled sounds (a minute on 2 cores)
	$(BIN)/python recipes/demo/demo.py

test: .venv/ready  ## run every test
	$(BIN)/python tests/transformers_common/fetch.py
	$(BIN)/python -m pytest -q --numprocesses auto --dist loadfile

style: .venv/ready  ## check formatting and lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: .venv/ready  ## time against peers and write benchmarks/README.md's tables
	$(BIN)/python -m benchmarks

constraints: .venv/ready  ## write the installed versions to constraints.txt
	(head -1 constraints.txt; $(BIN)/python -m pip freeze --all --exclude ssast_hf --exclude pip | grep -v '^#' | sed 's/+cpu//') > .venv/constraints.txt
	mv .venv/constraints.txt constraints.txt

clean:  ## remove .venv and everything the commands made
	rm -rf .venv runs .pytest_cache .ruff_cache *.egg-info
