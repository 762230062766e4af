# make run: the demo, from drawings to figures.    make test: every test.    make test-fast: those that take no time.
# All first make .venv with the pinned versions of constraints.txt; it is made anew when those change.

PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

# A killed run leaves Snakemake's lock behind. Where flock tells that no run is left, the stale lock is removed.
FLOCK := $(shell command -v flock)
LOCKED := $(if $(FLOCK),flock --nonblock --conflict-exit-code 75 $(VENV)/.running)
UNLOCK := $(if $(FLOCK),if ls .snakemake/locks/* >/dev/null 2>&1; then snakemake --unlock; fi;)
# Each process runs whole files of tests, the longest first, and computes on one core.
TESTS := OMP_NUM_THREADS=1 python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder
RUN := $(UNLOCK) exec snakemake --cores all --resources gpu=1

# The README's pictures and numbers are those of a run of its own.
SHOWN := build/replicates

.PHONY: help run test test-fast check readme clean

help:
	@echo "make run        install into $(VENV), then draw all figures of the demo into results/"
	@echo "make test       install into $(VENV), then run every test"
	@echo "make test-fast  install into $(VENV), then run the tests that take no time"
	@echo "make check      install into $(VENV), then check format, lint and types"
	@echo "make readme     make the pictures and numbers of the README anew: five networks an experiment, for hours"
	@echo "make clean      remove $(VENV) and results/"

# Two hundred processes would each compile what they import, where PYTHONDONTWRITEBYTECODE is set.
run: $(READY)
	-@python -m compileall -q src
	@echo "Running the demo on all cores: figures go to results/figures, tables to results/tables."
	@$(LOCKED) sh -c '$(RUN)' || { test $$? != 75 || echo "Another run is going on in this folder: wait for it to end."; exit 1; }

test: $(READY)
	@echo "Running every test."
	$(TESTS)

test-fast: $(READY)
	@echo "Running the tests that take no time: no workflows, clusters or killed processes."
	$(TESTS) -m "not end_to_end and not slow"

check: $(READY)
	ruff check .
	ruff format --check .
	mypy
	snakefmt --check workflow
	snakemake --lint

readme: $(READY)
	@echo "Training and analysing five networks an experiment in $(SHOWN); then the README is filled from their tables."
	mkdir -p $(SHOWN) && cp -r config $(SHOWN)
	snakemake --cores all --resources gpu=1 --directory $(SHOWN) --configfile docs/replicates/config.yaml
	python benchmarks/readme.py $(SHOWN)

clean:
	rm -rf $(VENV) results .snakemake

$(READY): pyproject.toml constraints.txt
	@echo "Installing pinned versions into $(VENV) (a few minutes the first time)."
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, found " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[slurm,formats,test]"
	touch $(READY)
