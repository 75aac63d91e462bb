.PHONY: bench-gateway test-gateway
bench-gateway: $(VENV)/.ready ## what the gateway adds to a request, beside plain nginx and LiteLLM (five minutes)
	@PYTHONPATH=.collections python -m ansible_collections.gpuserve.fleet.tests.bench.gateway.measure

test-gateway: $(VENV)/.ready ## the gateway's integration tests against one in a container here (two minutes)
	@tests/support/gateway/run-tests.sh

.PHONY: bench-prefixes
bench-prefixes: $(VENV)/.ready ## what choosing a replica by its prefix cache gives: the gateway's ways, and vllm-router behind it (three minutes)
	@PYTHONPATH=.collections python -m ansible_collections.gpuserve.fleet.tests.bench.gateway.prefixes
