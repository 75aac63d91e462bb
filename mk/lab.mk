# The demonstration, the whole test, and taking away what they made. What they do is in tests/support/lab.
LAB := tests/support/lab/lab

.PHONY: demo demo-down demo-record test clean
# What it is going to do is said before anything is fetched, the venv included.
demo: ## a bare box to three models behind one gateway (DEMO_HOST=user@address: on a real machine)
	@cat mk/demo.txt
	@$(MAKE) --no-print-directory venv
	@$(LAB) demo up

demo-down: $(VENV)/.ready ## remove what `make demo` made on its host
	@$(LAB) demo down

demo-record: $(VENV)/.ready ## record a run of `make demo` for README's picture, which `make docs` draws
	@PYTHONPATH=.collections python -m ansible_collections.gpuserve.fleet.tests.support.recording docs/demo.cast $(MAKE) --no-print-directory demo

test: $(VENV)/.ready ## everything CI runs: check, molecule scenarios, one end-to-end run with the real vLLM
	@$(LAB) test

clean: ## remove every box, image, volume and cache that this checkout made
	@$(LAB) clean

.PHONY: image-digests
image-digests: $(VENV)/.ready ## ask registries for the digests of the default images, and write them beside their tags
	@PYTHONPATH=.collections python -m ansible_collections.gpuserve.fleet.tests.support.image_digests
