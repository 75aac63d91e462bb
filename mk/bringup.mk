# What belongs to the bring-up. Engines and card are doubles; Docker, SSH and the role are real.
.PHONY: bench-bringup test-bringup
bench-bringup: $(VENV)/.ready ## what a bring-up costs beyond its engines, on a simulated box with doubles
	@PYTHONPATH=.collections python -m ansible_collections.gpuserve.fleet.tests.support.bench_bringup

test-bringup: $(VENV)/.ready ## the faults of a bring-up, on a simulated box with doubles
	@PYTHONPATH=.collections python -m pytest tests/integration/bringup -v --override-ini=addopts=--import-mode=importlib -p no:pytest-ansible -p no:cacheprovider
