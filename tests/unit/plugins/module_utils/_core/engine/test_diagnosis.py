# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first true cause in an engine's log."""

from __future__ import annotations

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine.diagnosis import diagnose
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine.log import read

WRAPPER = "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("api_server.py: error: unrecognized arguments: --swap-space 4", "unknown_argument"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", "out_of_memory"),
        ("ValueError: No available memory for the cache blocks. Try increasing", "no_cache_memory"),
        ("RuntimeError: CUDA error: no kernel image is available for execution on the device", "no_kernel_image"),
        ("huggingface_hub.errors.GatedRepoError: 401 Client Error.", "gated"),
        ("OSError: nope/nope is not a local folder and is not a valid model identifier", "missing_repository"),
        ("OSError: [Errno 98] Address already in use", "port_taken"),
        ("AssertionError: Error in memory profiling. Initial free memory 3.1 GiB", "profiling_race"),
        (
            "ValueError: Free memory on device cuda:0 (3/31 GiB) on startup is less than desired GPU memory utilization",
            "free_memory",
        ),
        ("RuntimeError: Insufficient space in /dev/shm: 160 MiB required", "shared_memory"),
    ],
)
def test_signatures(line: str, cause: str) -> None:
    found = diagnose(["INFO starting", f"(EngineCore pid=9) {line}", WRAPPER])
    assert found.id == cause
    assert found.remedy


def test_the_first_cause_wins_over_what_follows_from_it() -> None:
    log = [
        "ValueError: No available memory for the cache blocks.",
        "torch.OutOfMemoryError: CUDA out of memory",
        WRAPPER,
    ]
    assert diagnose(log).id == "no_cache_memory"


def test_a_wrapper_is_never_the_cause() -> None:
    assert diagnose([WRAPPER, "KeyError: 'model.layers.0'"]).text.startswith("KeyError")


def test_what_says_nothing_is_named_by_its_exit() -> None:
    assert diagnose([], 137).id == "killed"
    assert "exit status 3" in diagnose(["nothing"], 3).text


def test_phases_and_figures_of_a_log() -> None:
    facts = read(
        [
            "(EngineCore pid=93) INFO [core.py:116] Initializing a V1 LLM engine (v0.32.0) with config: x",
            "Loading safetensors checkpoint shards:  50% Completed | 1/2",
            "INFO Model loading took 2.05 GiB memory and 1.2 seconds",
            "INFO GPU KV cache size: 47,648 tokens, Maximum concurrency for 2,048 tokens per request: 23.27x",
        ]
    )
    assert (facts.phase, facts.percent, facts.kv_cache_tokens, facts.max_concurrency) == ("cache", 50, 47648, 23.27)


def test_a_warning_of_an_error_that_may_come_is_not_the_cause() -> None:
    # As vLLM 0.26 wrote it on an H100 that a foreign process had filled.
    log = [
        "(APIServer pid=1) WARNING 11-24 03:01:35 [system_utils.py:299] Found ulimit of 20000 and failed to automatically increase with "
        "error current limit exceeds maximum limit. This can cause fd limit errors like `OSError: [Errno 24] Too many open files`.",
        "(EngineCore pid=63) ERROR 11-24 03:01:56 [core.py:1330] torch.AcceleratorError: CUDA error: out of memory",
        WRAPPER,
    ]
    assert (diagnose(log, 1).id, diagnose(log, 1).memory) == ("out_of_memory", True)
    assert diagnose(log[:1], 1).id == "exit"
