.PHONY: worlds
WORLDS ?= 6000
worlds: $(VENV)/.ready ## the bring-up's state machine in 24,000 made-up worlds (WORLDS of each of four kinds)
	@PYTHONPATH=.collections python -m ansible_collections.gpuserve.fleet.tests.support.worlds --count $(WORLDS)
