# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far an engine's log says it is: a line of vLLM for each way in which each phase is told, and the figures in it."""

from __future__ import annotations

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine.log import LogFacts, Phase, read, timeline

LINES = [
    (
        "created",
        "(EngineCore pid=9) INFO 11-24 10:00:01 [core.py:59] Initializing a V1 LLM engine (v0.26.0) with config: x",
    ),
    (
        "loading",
        "(Worker pid=9) INFO 11-24 10:00:02 [gpu_model_runner.py:18] Starting to load model Qwen/Qwen2.5-3B...",
    ),
    ("loading", "Loading safetensors checkpoint shards:  50% Completed | 1/2 [00:00<00:00,  2.17it/s]"),
    ("loaded", "INFO 11-24 10:00:09 [gpu_model_runner.py:26] Model loading took 5.79 GiB and 3.2 seconds"),
    ("loaded", "INFO 11-24 10:00:09 [default_loader.py:267] Loading weights took 2.12 seconds"),
    ("profiled", "INFO 11-24 10:00:20 [gpu_worker.py:276] Available KV cache memory: 2.02 GiB"),
    ("profiled", "INFO 11-24 10:00:20 [gpu_worker.py:239] Reserved 2.0 GiB memory for KV Cache as specified by x"),
    ("profiled", "INFO 11-24 10:00:20 [cpu_worker.py:99] Reserved 4.00 GiB for KV cache on node 0"),
    ("cache", "INFO 11-24 10:00:21 [kv_cache_utils.py:86] GPU KV cache size: 58,896 tokens"),
    ("graphs", "INFO 11-24 10:00:30 [gpu_model_runner.py:36] Graph capturing finished in 4 secs, took 0.41 GiB"),
    ("initialized", "INFO 11-24 10:00:31 [core.py:210] init engine (profile, create kv cache, warmup model) took 21 s"),
    ("listening", "INFO 11-24 10:00:32 [api_server.py:19] Starting vLLM API server 0 on http://0.0.0.0:8000"),
    ("listening", "INFO 11-24 10:00:32 [api_server.py:19] Starting vLLM server on http://0.0.0.0:8000"),
    ("listening", "INFO:     Application startup complete."),
]


@pytest.mark.parametrize(("phase", "line"), LINES)
def test_a_line_for_each_phase(phase: str, line: str) -> None:
    assert read([line]).phase is Phase(phase)


def test_a_log_is_as_far_as_its_furthest_line() -> None:
    assert read([]) == LogFacts()
    assert read([LINES[8][1], LINES[1][1]]).phase is Phase.CACHE
    assert read(line for _phase, line in LINES).phase is Phase.LISTENING


def test_the_figures_of_a_log_are_its_last() -> None:
    log = [
        "Loading safetensors checkpoint shards:   0% Completed | 0/2",
        "Loading safetensors checkpoint shards: 100% Completed | 2/2",
        "GPU KV cache size: 1,234,567 tokens",
        "Maximum concurrency for 1,536 tokens per request: 38.34x",
    ]
    assert read(log) == LogFacts(Phase.CACHE, 100, 1234567, 38.34)


def test_a_phase_is_at_its_first_line_and_never_before_the_start() -> None:
    lines = [
        (1e6 + at, text)
        for at, text in ((-0.5, LINES[0][1]), (3.26, LINES[1][1]), (4.0, LINES[2][1]), (9.04, LINES[3][1]))
    ]
    assert timeline(lines, 1e6) == {"created": 0.0, "loading": 3.3, "loaded": 9.0}
