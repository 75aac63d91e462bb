# What belongs to the host roles.
.PHONY: bench-converge
bench-converge: $(VENV)/.ready ## what a run with nothing to do costs, the three host roles on a simulated box
	@PYTHONPATH=.collections python -m ansible_collections.gpuserve.fleet.tests.support.bench_converge

.PHONY: docs
docs: $(VENV)/.ready ## renew the pages of modules and roles in docs/
	@PYTHONPATH=.collections python -m ansible_collections.gpuserve.fleet.tests.support.reference_docs
