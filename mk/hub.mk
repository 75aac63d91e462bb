# What belongs to models from the hub. The hub is a double on loopback, huggingface_hub is the real one.
.PHONY: test-hub
test-hub: $(VENV)/.ready ## model_info and model_fetch with the real huggingface_hub against the hub's double
	@PYTHONPATH=.collections python -m pytest tests/integration/hub -v --override-ini=addopts=--import-mode=importlib -p no:pytest-ansible -p no:cacheprovider
