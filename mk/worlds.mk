.PHONY: worlds docs-rollout
WORLDS ?= 6000
worlds: $(VENV)/.ready ## the bring-up's state machine in 24,000 made-up worlds (WORLDS of each of four kinds)
	@PYTHONPATH=.collections python -m ansible_collections.gpuserve.fleet.tests.support.worlds --count $(WORLDS)

docs-rollout: $(VENV)/.ready ## renew the diagram of a bring-up's steps in docs/reliability.md
	@PYTHONPATH=.collections python -m ansible_collections.gpuserve.fleet.tests.support.rollout_diagram
