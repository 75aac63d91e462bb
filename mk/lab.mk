# The demonstration, the whole test, and taking away what they made. What they do is in tests/support/lab.
LAB := tests/support/lab/lab

.PHONY: demo demo-down test clean
demo: $(VENV)/.ready ## a bare box to three models behind one gateway (DEMO_HOST=user@address: on a real machine)
	@$(LAB) demo up

demo-down: $(VENV)/.ready ## remove what `make demo` made on its host
	@$(LAB) demo down

test: $(VENV)/.ready ## everything CI runs: check, molecule scenarios, one end-to-end run with the real vLLM
	@$(LAB) test

clean: ## remove every box, image, volume and cache that this checkout made
	@$(LAB) clean

.PHONY: image-digests
image-digests: $(VENV)/.ready ## ask registries for the digests of the default images, and write them beside their tags
	@PYTHONPATH=.collections python -m ansible_collections.gpuserve.fleet.tests.support.image_digests
