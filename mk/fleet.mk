.PHONY: bench-fleet
bench-fleet: $(VENV)/.ready ## what plans of 10 to 1,000 hosts cost the controller, moves when a host leaves; CONVERGED=INVENTORY: site.yml, too
	@PYTHONPATH=.collections python -m tests.bench.fleet $(if $(CONVERGED),--converged $(CONVERGED))
