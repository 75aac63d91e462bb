# What belongs to the host roles.
.PHONY: bench-converge bench-site
bench-converge: $(VENV)/.ready ## what a run with nothing to do costs, the three host roles on a simulated box
	@PYTHONPATH=.collections python -m ansible_collections.gpuserve.fleet.tests.support.bench_converge

bench-site: $(VENV)/.ready ## what a run of site.yml with nothing to do costs, on the box of the scenario `default`
	@PYTHONPATH=.collections python -m ansible_collections.gpuserve.fleet.tests.support.bench_site

.PHONY: docs
docs: $(VENV)/.ready ## renew the pages of modules and roles in docs/
	@PYTHONPATH=.collections python -m ansible_collections.gpuserve.fleet.tests.support.reference_docs
