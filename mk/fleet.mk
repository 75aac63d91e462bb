.PHONY: bench-fleet
bench-fleet: $(VENV)/.ready ## what plans of 10 to 1,000 hosts cost the controller, and how many models move when a host leaves
	@PYTHONPATH=.collections python -m tests.bench.fleet
