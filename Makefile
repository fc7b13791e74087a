# Each target installs what it needs first.
#
# make demo        trains on real solar cells and evaluates; takes minutes on a CPU
# make test        runs the fast tests
# make test-slow   runs the slow tests (a minute or more each): small versions of the
#                  paper's tables, faults, Ray
# make lint        runs ruff, mypy and import-linter
# make notebook    runs the notebook and stores its outputs, which the site shows
# make docs        builds the documents as a site into site/; fails on a broken link
# make clean       removes .venv and runs

PYTHON ?= python3
BIN := .venv/bin
DEMO := runs/demo

.PHONY: demo test test-slow lint notebook docs clean

# Stamp files are written last, so an interrupted install is repeated.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[elpv]'
	touch $@

.venv/installed-test: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[elpv,test]'
	touch $@

demo: .venv/installed
	$(BIN)/python -m ocrgan_jax.train --config=configs/demo.py --workdir=$(DEMO)
	$(BIN)/python -m ocrgan_jax.evaluate --workdir=$(DEMO)

test: .venv/installed-test
	$(BIN)/python -m pytest

# loadfile keeps each file in one process, because the experiments share their runs.
test-slow: .venv/installed-test
	$(BIN)/python -m pytest -m slow --dist loadfile

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.venv/installed-docs: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[elpv,docs]'
	touch $@

# A run left from before would only be continued.
notebook: .venv/installed-docs
	rm -rf examples/runs
	TQDM_DISABLE=1 $(BIN)/jupyter nbconvert --to notebook --execute --inplace \
	  --ExecutePreprocessor.record_timing=False examples/demo.ipynb

docs: .venv/installed-docs
	$(BIN)/mkdocs build --strict

clean:
	rm -rf .venv runs site
