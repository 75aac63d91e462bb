.PHONY: bench-fleet
bench-fleet: $(VENV)/.ready ## what plans and a run with nothing to do cost the controller for 10 to 1,000 hosts, and the moves when a host leaves
	@export MOLECULE_EPHEMERAL_DIRECTORY=$(GPUSERVE_CACHE)/test/bench-fleet; \
	  (unset ANSIBLE_CONFIG; molecule converge -s default) && \
	  PYTHONPATH=.collections python -m tests.bench.fleet \
	    --converged "$$MOLECULE_EPHEMERAL_DIRECTORY/inventory/ansible_inventory.yml"; \
	  rc=$$?; molecule destroy -s default; exit $$rc
