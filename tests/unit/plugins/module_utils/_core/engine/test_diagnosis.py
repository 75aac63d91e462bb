# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first true cause in an engine's log."""

from __future__ import annotations

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine.diagnosis import diagnose
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine.log import Phase, read

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
    assert (facts.phase, facts.percent, facts.kv_cache_tokens, facts.max_concurrency) == (Phase.CACHE, 50, 47648, 23.27)


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


LEVELS = [
    "WARNING 11-26 10:00:00 [x.py:1] {}",
    "(APIServer pid=1) INFO 11-26 10:00:00 [logger.py:40] Received request cmpl-1: prompt: 'what does {} mean?'",
    "(APIServer pid=1) INFO 11-26 10:00:00 [logger.py:40] Received request: prompt: 'ERROR 11-26 10:00:00 {}'",
    "(EngineCore_0 pid=90) DEBUG 11-26 10:00:00 [x.py:1] {}",
    "\x1b[1;36m(EngineCore_0 pid=90)\x1b[0;0m INFO 11-26 10:00:00 [x.py:1] {}",
    "INFO:     127.0.0.1:4711 - {}",
    "WARNING:root:{}",
    "(APIServer pid=1) INFO:     {}",
]


@pytest.mark.parametrize("line", LEVELS)
@pytest.mark.parametrize("words", ["CUDA out of memory", "403 Client Error for telemetry", "ValueError: bad thing"])
def test_what_is_said_quietly_is_no_cause(line: str, words: str) -> None:
    assert diagnose([line.format(words)], 1).id == "exit"
    assert diagnose([line.format(words), "OSError: [Errno 28] No space left on device"], 1).id == "disk_full"


@pytest.mark.parametrize(
    "line",
    [
        "ERROR 11-26 10:00:00 [x.py:1] {}",
        "(EngineCore_0 pid=90) CRITICAL 11-26 10:00:00 {}",
        "ERROR:root:{}",
        "torch.{}",
        "the INFO 11-26 says nothing of {}",
    ],
)
def test_what_is_said_as_an_error_is_one(line: str) -> None:
    assert diagnose([line.format("OutOfMemoryError: CUDA out of memory")], 1).id == "out_of_memory"


def test_a_warning_of_python_counts_where_no_error_says_more() -> None:
    warning = "UserWarning: CUDA initialization: The NVIDIA driver on your system is too old (found version 12020)."
    late = "RuntimeError: Failed to infer device type"
    assert diagnose([warning, late], 1).id == "driver_too_old"
    assert diagnose([warning, "OSError: [Errno 28] No space left on device"], 1).id == "disk_full"


def test_what_docker_refuses_wins_over_all_that_an_engine_said() -> None:
    log = [
        "torch.OutOfMemoryError: CUDA out of memory",
        "docker compose up failed: Error response from daemon: Bind for 127.0.0.1:8001 failed: port is already allocated",
    ]
    assert diagnose(log).id == "port_taken"
    said = "Error response from daemon: Conflict. The container name \x1b[2J/vllm-a is in use"
    found = diagnose([log[0], said, "Error response from daemon: another"], 1)
    assert found.id == "docker" and not found.memory
    assert found.text == "Docker refuses it: Conflict. The container name \\x1b[2J/vllm-a is in use"
    assert found.remedy == "Mend what it names, then run again."


def test_the_first_error_of_a_kind_that_nobody_knows() -> None:
    found = diagnose(["x", "ValueError: bad \x1b[2J thing  ", "KeyError: 'later'"], 137)
    assert (found.id, found.text, found.memory) == ("error", "ValueError: bad \\x1b[2J thing", False)
    assert found.remedy == "See the last lines of its log below."
    assert len(diagnose([f"ValueError: {'x' * 2000}"]).text) < 320
    assert diagnose(["ValueError: xx"], 1).id == "exit", "too short to say anything"


@pytest.mark.parametrize(
    "line",
    [
        "RuntimeError: Engine core initialization failed. See root cause above.",
        "Exception: EngineCore failed to start.",
        "vllm.v1.engine.exceptions.EngineDeadError: EngineDeadError: see above",
        "Exception: EngineCore encountered an issue. See stack trace above",
    ],
)
def test_no_wrapper_is_a_cause(line: str) -> None:
    assert diagnose([line, "KeyError: 'model.layers.0'"], 1).text == "KeyError: 'model.layers.0'"


@pytest.mark.parametrize(
    ("code", "name", "text", "remedy", "memory"),
    [
        (
            137,
            "killed",
            "it was killed, most likely since the host's memory ran out",
            "Give the host more memory.",
            True,
        ),
        (
            139,
            "segfault",
            "it crashed with a segmentation fault",
            "Run once more; if it comes again, take another engine image, and see whether enforce_eager: true helps.",
            False,
        ),
        (
            135,
            "bus_error",
            "it read what is not there any more (a bus error): a file that was cut short under it, or shared memory that ran out",
            "See whether the disk or /dev/shm is full; a model whose files are cut short has to be copied anew.",
            False,
        ),
        (1, "exit", "it ended with exit status 1", "See the last lines of its log below.", False),
        (0, "exit", "it ended with exit status 0", "See the last lines of its log below.", False),
        (None, "unknown", "it gave no reason", "See the last lines of its log below.", False),
    ],
)
def test_one_that_says_nothing(code: int | None, name: str, text: str, remedy: str, memory: bool) -> None:
    found = diagnose(["nothing"], code)
    assert (found.id, found.text, found.remedy, found.memory) == (name, text, remedy, memory)
