.PHONY: bench-plan docs-memory-model test-flags
bench-plan: $(VENV)/.ready ## the planner's error over every measured start, and how plans scale
	@PYTHONPATH=.collections python -m tests.bench.plan

docs-memory-model: $(VENV)/.ready ## renew the measured table in docs/memory-model.md
	@PYTHONPATH=.collections python -m tests.bench.memory_model_doc

test-flags: $(VENV)/.ready ## plans' command lines through vLLM's own parsers of five releases (their .py files come from PyPI once)
	@PYTHONPATH=.collections python -m pytest tests/integration/parsers --override-ini=addopts=--import-mode=importlib -q -rs -p no:pytest-ansible -p no:cacheprovider
