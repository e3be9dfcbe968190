# make demo and make test create .venv themselves; PYTHON chooses the interpreter it is made with.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SOURCES := detection tools examples docs tests datasets setup.py build_backend.py

.DEFAULT_GOAL := help
.PHONY: help install demo test quick lint format gpu abi clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## the virtual environment with everything in it

# torch first, and the rest without isolation: the extension is then built against this torch, and
# nothing is downloaded twice.
$(STAMP): pyproject.toml setup.py build_backend.py $(wildcard detection/ops/csrc/*)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip "setuptools>=77"
	$(BIN)/python -m pip install --quiet torch torchvision
	$(BIN)/python -m pip install --quiet --no-build-isolation --editable ".[dev]"
	touch $@

demo: $(STAMP) ## the whole paper in small on generated pictures: outputs/demo/ (a quarter of an hour)
	$(BIN)/python tools/demo.py overwrite=true

# One process per core with one thread each: a file's tests stay together, for their fixtures.  In
# the order of the folders: xdist's own puts files of few tests last, and the longest are those.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=auto --dist=loadfile --no-loadscope-reorder

test: $(STAMP) ## the test suite
	$(PYTEST)

quick: $(STAMP) ## its fast tests alone, under a minute: all that is not marked slow
	$(PYTEST) -m "not slow"

lint: $(STAMP) ## ruff and mypy
	$(BIN)/python -m ruff check $(SOURCES)
	$(BIN)/python -m ruff format --check $(SOURCES)
	$(BIN)/python -m mypy

format: $(STAMP) ## mends what ruff can
	$(BIN)/python -m ruff check --fix $(SOURCES)
	$(BIN)/python -m ruff format $(SOURCES)

gpu: $(STAMP) ## on a machine with a GPU: CUDA build, tests, compute-sanitizer, benchmark
	PYTHON=$(BIN)/python tests/ops/gpu.sh

abi: $(STAMP) ## the built operators under the oldest and the newest torch (downloads both)
	tests/ops/abi.sh

clean: ## removes the virtual environment and everything built; outputs/ stays
	rm -rf $(VENV) build *.egg-info detection/ops/*.so .pytest_cache .mypy_cache .ruff_cache
