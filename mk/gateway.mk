.PHONY: bench-gateway
bench-gateway: $(VENV)/.ready ## what the gateway adds to a request, beside plain nginx and LiteLLM (five minutes)
	@PYTHONPATH=.collections python -m ansible_collections.gpuserve.fleet.tests.bench.gateway.measure
