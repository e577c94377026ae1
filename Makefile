# The same commands run in CI.
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: install demo demo-weights test test-slow lint dist docs bench pictures clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[report,test]'
	touch $@

demo: install
	rm -rf runs/demo
	$(BIN)/smoothcert demo --out runs/demo

demo-weights: install
	$(BIN)/smoothcert train --data "synthetic:12000#train" --arch resnet8 --sigma 1.0 --sigma-low 0.25 --epochs 16 \
	  --entropy 0 --out demo.safetensors

# The same tests with the same numbers each time, file by file on WORKERS processes.
test: install
	PYTHONHASHSEED=0 $(BIN)/python -m pytest -q --numprocesses $(WORKERS) --dist loadfile

# What takes long, and every property anew on more and random examples; a failure prints how to repeat it.
test-slow: install
	$(BIN)/python -m pytest -q -m "slow or hypothesis" --hypothesis-profile random --durations 12 \
	  --numprocesses $(WORKERS) --dist loadfile

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --platform win32
	$(BIN)/mypy --platform darwin
	$(BIN)/lint-imports

# What could go out: sdist, and the wheel built from it, looked through and used in an environment of its own.
dist: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[release]'
	rm -rf dist
	PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/python .ci/dist.py

# The documentation site, in build/site; a warning is an error.
docs: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	$(BIN)/python -m sphinx -q -E --fail-on-warning --keep-going -c docs -b html . build/site

bench: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python benchmarks/bench.py

pictures: install
	$(BIN)/python docs/pictures/terminal.py

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
