# The two commands: `make demo` (the main job) and `make test` (everything CI runs). `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Everything we build or download lives here, outside the work tree, in folders named after what went into them.
export GPUSERVE_CACHE ?= $(HOME)/.cache/gpuserve-fleet
VENV := $(GPUSERVE_CACHE)/venv-$(shell cat requirements/dev.txt | sha256sum | cut -c1-12)
export PATH := $(VENV)/bin:$(PATH)
# Sources are compiled once for all that read them, outside the work tree.
export PYTHONPYCACHEPREFIX := $(GPUSERVE_CACHE)/pycache
unexport PYTHONDONTWRITEBYTECODE
# Only the project's own settings count, not what the shell that calls us happens to hold.
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
HOUSE := .collections/ansible_collections/gpuserve/fleet

$(VENV)/.ready: requirements/dev.txt
	@mk/venv.sh $(VENV)

.PHONY: help venv check lint lint-code lint-ansible types unit sanity lock
help: ## this list
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | sort | awk -F'\t' '{printf "  make %-16s %s\n", $$1, $$2}'

venv: $(VENV)/.ready ## the development venv (cached outside the work tree)

# Side by side, as many as there are cores; the longest is begun first. What takes most of the time and seldom tells is left to `make test`,
# which runs each of these targets whole: tests marked `long`, ansible-lint's look at scenarios, two tests of sanity.
check: $(VENV)/.ready ## the quick tier: lint, types, unit tests, sanity, less what takes long
	@$(MAKE) --no-print-directory --jobs=$(shell nproc) --output-sync=target QUICK=yes unit sanity lint-ansible lint-code types
	@echo "make check: all green"

lint: lint-code lint-ansible

lint-code: $(VENV)/.ready
	@echo "== ruff"; ruff check --no-cache plugins tests; ruff format --no-cache --check --diff plugins tests
	@echo "== yamllint"; yamllint -s $$(git ls-files -co --exclude-standard '*.yml' '*.yaml')
	@echo "== shellcheck"; shellcheck $$(git ls-files -co --exclude-standard '*.sh' .ci/run)

lint-ansible: $(VENV)/.ready
	@echo "== ansible-lint"; ansible-lint --offline -q $(if $(QUICK),--exclude molecule --exclude tests)

types: $(VENV)/.ready
	@echo "== mypy --strict"; mypy --cache-dir $(GPUSERVE_CACHE)/mypy/$(notdir $(CURDIR)) $(HOUSE)/plugins $(HOUSE)/tests

unit: $(VENV)/.ready
	@echo "== unit tests"; python -m pytest tests/unit $(if $(QUICK),-m "not long")

sanity: $(VENV)/.ready
	@echo "== ansible-test sanity"; mk/sanity.sh $(VENV) $(GPUSERVE_CACHE) $(if $(QUICK),--skip-test pylint --skip-test import) 2>&1 | { grep -vE '^(Running sanity|WARNING: All targets skipped|Initializing )' || true; }

lock: $(VENV)/.ready ## renew requirements/dev.txt, release.txt and builder.txt from the .in beside each
	@python -m pip install -q pip-tools && for name in dev release builder; do \
	pip-compile -q --upgrade --strip-extras --no-annotate --no-emit-index-url --no-emit-find-links -o requirements/$$name.txt requirements/$$name.in; done

include $(wildcard mk/*.mk)
