# How much of the core its unit tests notice, and how much of the edges they reach. Outside of `make test`: minutes, on one core.
.PHONY: mutation coverage
PACKAGE ?=
SAMPLE ?= 300
SEED ?= 12
mutation: $(VENV)/.ready ## the score of each package of the core under mutation (PACKAGE=plan: one; SAMPLE, SEED)
	@PYTHONPATH=.collections nice -n 19 python -m ansible_collections.gpuserve.fleet.tests.support.mutation $(PACKAGE) --survivors --sample $(SAMPLE) --seed $(SEED)

# Beside the venv and not in it: nobody else needs it.
COVERAGE := $(GPUSERVE_CACHE)/coverage-$(shell sha256sum < requirements/coverage.txt | cut -c1-12)
coverage: $(VENV)/.ready ## how much of the edges (_io) the unit tests reach, a line a package
	@[ -e $(COVERAGE)/.ready ] || { python -m pip install -q --disable-pip-version-check --target $(COVERAGE) -r requirements/coverage.txt && touch $(COVERAGE)/.ready; }
	@export PYTHONPATH=.collections:$(COVERAGE) COVERAGE_FILE=$(COVERAGE)/data.$(notdir $(CURDIR)) REPORT=$(COVERAGE)/report.$(notdir $(CURDIR)).json; \
	python -m coverage run --source=plugins/module_utils/_io -m pytest $(addprefix tests/unit/plugins/,module_utils/_io modules action plugin_utils); \
	python -m coverage json -q -o $$REPORT; python -m tests.support.io_coverage $$REPORT
