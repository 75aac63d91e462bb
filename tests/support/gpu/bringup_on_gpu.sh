#!/usr/bin/env bash
# The vllm_stack role with real Docker, CDI and a real vLLM on one card (or two), part by part: see bringup_on_gpu.py.
set -euo pipefail
cd "$(dirname "$0")/../../.."
exec python3 tests/support/gpu/bringup_on_gpu.py "$@"
