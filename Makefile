# Every target first makes what it needs; `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3.11
LAB ?= demo
MEMBERS ?= 3
ETCD ?= 3.6
CONTROL_PLANE ?= systemd
SANDBOX ?=
RUNS ?= 20
SEED ?= 1
ONLY ?=
AT ?=
FAULTS ?= 1
WITH ?= none
LOST ?=
BIN := .venv/bin
# Bytecode is kept, whatever the shell says: without it each worker compiles every test module with every run.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup check types fast test test-long demo bench robustness lab-up lab-down runbooks clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

setup: .venv/.done  ## make .venv with .venv/bin/quorate

.venv/.done: requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Quorate needs Python 3.11: '$(PYTHON)' was not found; set PYTHON=/path/to/python3.11" >&2; exit 2; }
	@echo "setup: a virtual environment from requirements.lock (about 40 s the first time)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q quorate activities workflows worker  # an installation has its bytecode: 0.3 s a command
	@touch $@

check: setup  ## formatting, types, floors and the fast tests (26 s on two idle cores)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports --no-cache
	@$(MAKE) --no-print-directory -j2 types fast

types: setup  ## mypy
	@$(BIN)/mypy

fast: setup  ## the tests that need no server, no lab and no patience
	@$(BIN)/pytest -q -n auto --dist worksteal -m "not lab and not server and not slow" tests

# What fails while others share the machine is run once more by itself: both outcomes are printed, the second counts.
define tested
@$(BIN)/pytest $(1) -m $(2) tests || { [ $$? = 1 ] && echo "make: once more, one by one, what has failed above" && \
	$(BIN)/pytest --last-failed --last-failed-no-failures none -m $(2) tests; }
endef

test: setup  ## the tests, on the lab
	$(call tested,-n 3 --dist worksteal,"not lab and not long")
	$(call tested,-n 2 --dist loadfile,"lab and not kubeadm and not long")
	$(call tested,,"kubeadm and not long")

test-long: setup  ## and one more of each kind: further faults, kills and shapes of what `make test` has
	$(call tested,-n 2 --dist loadfile,"long and not kubeadm")
	$(call tested,,"long and kubeadm")

robustness: setup  ## restores with a fault or two each, judged by the cluster alone: RUNS=20 SEED=1 ONLY= AT= FAULTS=1 WITH=none (or systemd) LOST=
	@$(BIN)/python -m deploy.robustness --runs $(RUNS) --seed $(SEED) --faults $(FAULTS) --control-plane $(WITH) \
		$(if $(ONLY),--only $(ONLY)) $(if $(AT),--at $(AT)) $(if $(LOST),--lost)

lab-up: setup  ## a real cluster: LAB=demo MEMBERS=3 ETCD=3.6 CONTROL_PLANE=systemd (or static-pods, external, none) SANDBOX=
	@$(BIN)/python -m deploy.lab up $(LAB) --members $(MEMBERS) --etcd $(ETCD) --control-plane $(CONTROL_PLANE) \
		$(if $(SANDBOX),--sandbox)

lab-down: setup  ## remove it: LAB=demo
	@$(BIN)/python -m deploy.lab down $(LAB)

demo: setup  ## a real cluster is backed up, wrecked, restored and proven
	@$(BIN)/python -m deploy.demo

bench: setup  ## the figures of BENCHMARKS.md, beside a shell script
	@$(BIN)/python -m deploy.bench

runbooks: setup  ## rewrite the console blocks of runbooks/
	@$(BIN)/python -m tests.runbooks
