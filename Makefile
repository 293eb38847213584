# `make demo` and `make test` need only Python 3.11; each builds .venv when it is missing.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
.DEFAULT_GOAL := help

.PHONY: help demo quick test clients style docs bench matrix constraints clean

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

# OpenMP threads that wait yield early; on a machine that runs other processes, spinning would take their time.
demo quick test clients: export GOMP_SPINCOUNT ?= 3000

demo: .venv/ready  ## label sounds, pretrain, fine-tune, reload: the bundled model on the bundled sounds (a minute on 2 cores)
	$(BIN)/python recipes/demo/demo.py

quick: .venv/ready  ## run the tests that neither train nor take seconds each (under 2 minutes on 2 cores)
	$(BIN)/python -m pytest -q --numprocesses auto --dist loadfile -m "not slow"

test: .venv/ready  ## run every test
	$(BIN)/python tests/transformers_common/fetch.py
	$(BIN)/python -m pytest -q --numprocesses auto --dist loadfile

# What the tests of clients need beyond the environment lies beside it, so that `make test` runs without.
clients: export PYTHONPATH := $(CURDIR)/.venv/clients
clients: .venv/ready  ## run what users do with other libraries (Trainer, PEFT, accelerate, Lightning, Ray, Spark with a JRE, example scripts)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target .venv/clients --upgrade --requirement tests/clients/requirements.txt
	-$(BIN)/python tests/clients/fetch.py
	$(BIN)/python -m pytest -q tests/clients tests/test_batching.py

style: .venv/ready  ## check formatting, lint and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy ssast_hf

# The variable silences a notice of the theme's authors; the Hub is not asked for anything.
docs: export NO_MKDOCS_2_WARNING := 1
docs: export HF_HUB_OFFLINE := 1
docs: .venv/ready  ## build the documentation into runs/site; a warning or a broken link is an error
	$(BIN)/python -m mkdocs build --strict
	@echo "runs/site/index.html"

bench: .venv/ready  ## time against peers and write benchmarks/README.md's tables
	$(BIN)/python -m benchmarks

matrix: .venv/ready  ## run the tests on the lowest and the newest allowed versions, and on other Python versions
	$(BIN)/python tests/matrix.py

constraints: .venv/ready  ## write the installed versions to constraints.txt
	(head -1 constraints.txt; $(BIN)/python -m pip freeze --all --exclude ssast_hf --exclude pip | grep -v '^#' | sed 's/+cpu//') > .venv/constraints.txt
	mv .venv/constraints.txt constraints.txt

clean:  ## remove .venv, the site and caches; what is in runs stays
	rm -rf .venv runs/site .pytest_cache .ruff_cache .mypy_cache *.egg-info
