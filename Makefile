# make demo    installs, trains on real solar cells, evaluates (minutes on a CPU)
# make test    installs, runs the tests
# make test-slow    installs, runs what takes minutes each: training by `restore`, the paper's tables in little, faults, Ray
# make lint    installs, runs ruff, mypy and import-linter

PYTHON ?= python3
BIN := .venv/bin
DEMO := runs/demo

.PHONY: demo test test-slow lint clean

# Each stamp stands for an install that was finished, so that an interrupted one is done again.
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

# Each file in one process: the experiments share their runs.
test-slow: .venv/installed-test
	$(BIN)/python -m pytest -m slow --dist loadfile

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv runs
