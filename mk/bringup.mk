# What belongs to the bring-up. Engines and card are doubles; Docker, SSH and the role are real.
.PHONY: bench-bringup test-bringup
bench-bringup: $(VENV)/.ready ## what a bring-up costs beyond its engines, on a simulated box with doubles
	@PYTHONPATH=.collections python -m ansible_collections.gpuserve.fleet.tests.support.bench_bringup

test-bringup: $(VENV)/.ready ## the faults of a bring-up, on a simulated box with doubles
	@PYTHONPATH=.collections python -m pytest tests/integration/bringup -v --override-ini=addopts=--import-mode=importlib -p no:pytest-ansible -p no:cacheprovider

.PHONY: gpu-proof docs-gpu-proof
docs-gpu-proof: $(VENV)/.ready ## renew docs/gpu-proof.md from the proofs that are kept
	@PYTHONPATH=.collections python -m ansible_collections.gpuserve.fleet.tests.support.gpu.proof_page

# No venv: a machine without a network has none.
gpu-proof: ## a proof of all that serves on this machine's real card, in calls of ten minutes (see tests/support/gpu/gpu_proof.sh)
	@tests/support/gpu/gpu_proof.sh

.PHONY: test-proof
test-proof: $(VENV)/.ready ## a whole proof on a simulated box with doubles of engines and card; a quarter of an hour, no part of make test
	@PYTHONPATH=.collections python -m pytest tests/integration/proof -v --override-ini=addopts=--import-mode=importlib -p no:pytest-ansible -p no:cacheprovider

.PHONY: test-group
test-group: $(VENV)/.ready ## a model over two simulated boxes with doubles of engines; five minutes, no part of make test
	@PYTHONPATH=.collections python -m pytest tests/integration/group -v --override-ini=addopts=--import-mode=importlib -p no:pytest-ansible -p no:cacheprovider
