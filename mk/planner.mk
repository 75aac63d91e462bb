.PHONY: bench-plan docs-memory-model
bench-plan: $(VENV)/.ready ## the planner's error over every measured start, and how plans scale
	@PYTHONPATH=.collections python -m tests.bench.plan

docs-memory-model: $(VENV)/.ready ## renew the measured table in docs/memory-model.md
	@PYTHONPATH=.collections python -m tests.bench.memory_model_doc
