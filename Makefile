# Everything that a checkout can do. Needs make and Python 3.11 or newer; the rest is installed into .venv.
SHELL = /bin/sh
.DEFAULT_GOAL = help
.PHONY: help setup dev demo test check fmt clean
export PYTHON
# Processes of the tests: they wait for sandboxes and servers more than half of their time
JOBS ?= $(shell expr 2 '*' $$(getconf _NPROCESSORS_ONLN))

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 16

setup:  ## install what a user needs into .venv
	@scripts/setup runtime agents
	@echo "setup: all is there; the command is .venv/bin/hutch"

dev: setup  ## install what a developer needs besides: checkers, test tools, other agents as clients
	@scripts/setup dev clients
	@scripts/setup methods || echo "setup: going on without nsjail"
	@scripts/install-node-tools || echo "setup: going on without them"
	@scripts/install-store-servers || echo "setup: going on without it"
	@scripts/install-methods || echo "setup: going on without them"

demo: setup  ## see it work: an agent in a sandbox, its session in a volume, all of it over MCP
	@.venv/bin/python scripts/demo.py

test: dev  ## check, and all tests; FAST=1 leaves the slow ones out, ARGS="-k name" chooses
	@scripts/check && checked=0 || { checked=1; echo "check: failed; the tests run all the same"; }; \
	.venv/bin/python $(if $(CI),scripts/run_tests.py,-m pytest) -n $(JOBS) --dist loadgroup --no-loadscope-reorder $(if $(FAST),-m "not slow") $(ARGS) && exit $$checked

check:  ## formatting, lint, types, architecture
	@scripts/setup runtime dev
	@scripts/check

fmt:  ## put the code into form
	@scripts/setup runtime dev
	@.venv/bin/python -m ruff format .
	@.venv/bin/python -m ruff check --fix .

clean:  ## remove what was installed and what the demo left
	rm -rf .venv .demo
