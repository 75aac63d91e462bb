.PHONY: bench-fleet
bench-fleet: $(VENV)/.ready ## a fleet's cost: runs for 1 to 4 boxes with clients, the controller's for HOSTS=10,100,1000 (a quarter of an hour in all), plans, moves
	@PYTHONPATH=.collections python -m tests.bench.fleet $(if $(HOSTS),--noops $(HOSTS)) $(if $(CONVERGED),--converged $(CONVERGED))
