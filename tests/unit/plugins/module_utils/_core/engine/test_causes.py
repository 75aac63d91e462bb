# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real line for each pattern of each cause, as engines, libraries, shells and Docker print them."""

from __future__ import annotations

import re
from collections import Counter
from typing import get_args

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine.causes import RULES
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine.diagnosis import diagnose
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine.rule import CauseId
from ansible_collections.gpuserve.fleet.tests.unit.plugins.module_utils._core.engine.reported_lines import (
    REPORTED_LINES,
)

# Those of which a start alone may have enough memory.
MEMORY = {"free_memory", "profiling_race", "no_cache_memory", "out_of_memory", "cpu_cache_memory", "killed"} | {
    *("cublas_memory", "sglang_memory", "sglang_graphs"),
}
DAEMON = "Error response from daemon: "
LINES = [
    ("wrong_image", "api_server.py: error: unrecognized arguments: Qwen/Qwen2.5-3B-Instruct"),
    ("wrong_image", "python3: can't open file '/serve': [Errno 2] No such file or directory"),
    (
        "wrong_image",
        f'{DAEMON}failed to create task for container: runc create failed: exec: "vllm": executable file not found in $PATH',
    ),
    ("unknown_argument", "vllm: error: unrecognized arguments: --swap-space 4"),
    (
        "unknown_argument",
        "api_server.py: error: ambiguous option: --max-num could match --max-num-seqs, --max-num-lora",
    ),
    (
        "no_kernel_image",
        "torch.AcceleratorError: CUDA error: no kernel image is available for execution on the device",
    ),
    (
        "no_kernel_image",
        "/usr/lib/python3/torch/cuda/__init__.py:230: UserWarning: NVIDIA GeForce RTX 5090 with CUDA capability sm_120 is not "
        "compatible with the current PyTorch installation.",
    ),
    (
        "driver_too_old",
        "/usr/lib/python3/torch/cuda/__init__.py:174: UserWarning: CUDA initialization: The NVIDIA driver on your system is too old "
        "(found version 12020).",
    ),
    (
        "driver_too_old",
        "RuntimeError: CUDA error: system has unsupported display driver / forward compatibility was attempted on non supported HW",
    ),
    (
        "driver_too_old",
        f"{DAEMON}OCI runtime create failed: requirement error: unsatisfied condition: cuda>=12.8, please update your driver",
    ),
    ("driver_mismatch", "Failed to initialize NVML: Driver/library version mismatch"),
    ("driver_mismatch", "pynvml.NVMLError_LibRmVersionMismatch: NVML/RM version mismatch"),
    ("gpu_fault", "torch.AcceleratorError: CUDA error: unspecified launch failure"),
    ("gpu_fault", "RuntimeError: CUDA error: uncorrectable ECC error encountered"),
    ("gpu_fault", "NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus."),
    (
        "free_memory",
        "ValueError: Free memory on device cuda:0 (3.01/31.36 GiB) on startup is less than desired GPU memory utilization (0.9, "
        "28.22 GiB).",
    ),
    (
        "profiling_race",
        "AssertionError: Error in memory profiling. Initial free memory 3.1 GiB, current free memory 5.2 GiB.",
    ),
    (
        "no_cache_memory",
        "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`.",
    ),
    (
        "cache_too_small",
        "ValueError: To serve at least one request with the models's max seq len (32768), (4.00 GiB KV cache is needed, which is larger "
        "than the available KV cache memory (1.71 GiB).",
    ),
    ("out_of_memory", "torch.OutOfMemoryError: Allocation on device 0 would exceed allowed memory."),
    ("out_of_memory", "RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB."),
    ("out_of_memory", "torch.AcceleratorError: CUDA error: out of memory"),
    ("out_of_memory", "ValueError: there is not enough GPU memory to run this model"),
    (
        "cpu_cache_memory",
        "ValueError: Available memory on node 0 (3.2/15.6 GiB) on kv cache allocation is less than requested memory (4.0 GiB).",
    ),
    (
        "cpu_cache_memory",
        "ValueError: Available memory on node 0 (8.12/15.61 GiB) on startup is less than desired CPU memory utilization (0.92, 14.36 GiB).",
    ),
    (
        "too_long",
        "ValueError: User-specified max_model_len (512) is greater than the derived max_model_len (sentence_bert_max_length=256 or "
        "model_max_length=None in model's config.json).",
    ),
    (
        "too_long",
        "ValueError: User-specified max_model_len (8192) is greater than the derived max_model_len (max_position_embeddings=2048).",
    ),
    ("batch_too_small", "ValueError: max_num_batched_tokens (512) is smaller than max_model_len (2048)."),
    (
        "batch_too_small",
        "ValueError: max_num_batched_tokens (16) must be greater than or equal to max_num_seqs (32).",
    ),
    (
        "missing_repository",
        "OSError: nope/nope is not a local folder and is not a valid model identifier listed on 'https://huggingface.co/models'",
    ),
    ("missing_repository", "huggingface_hub.errors.RepositoryNotFoundError: 404 Client Error."),
    (
        "missing_repository",
        "huggingface_hub.errors.HFValidationError: Repo id must be in the form 'repo_name' or 'namespace/repo_name': '/srv/x/y/z'.",
    ),
    ("bad_token", "Invalid user token. If you didn't pass a user token, make sure you are properly logged in."),
    ("bad_token", "Invalid credentials in Authorization header"),
    ("gated", "OSError: You are trying to access a gated repo."),
    ("gated", "huggingface_hub.errors.GatedRepoError: Access to this model is restricted."),
    (
        "gated",
        "requests.exceptions.HTTPError: 401 Client Error: Unauthorized for url: https://huggingface.co/api/models/o/m",
    ),
    (
        "forbidden",
        "huggingface_hub.errors.HfHubHTTPError: 403 Client Error: Forbidden for url: https://huggingface.co/api/models/o/m",
    ),
    (
        "forbidden",
        "huggingface_hub.errors.HfHubHTTPError: (Request ID: x) 403 Forbidden: Please enable access to public gated repositories.",
    ),
    (
        "hub_busy",
        "huggingface_hub.errors.HfHubHTTPError: 429 Client Error: Too Many Requests for url: https://huggingface.co/o/m/resolve/main/config.json",
    ),
    (
        "hub_busy",
        "httpx.HTTPStatusError: Client error '429 Too Many Requests' for url 'https://huggingface.co/api/models/o/m'",
    ),
    (
        "no_network",
        "OSError: Cannot find the requested files in the disk cache and outgoing traffic has been disabled.",
    ),
    (
        "no_network",
        "huggingface_hub.errors.LocalEntryNotFoundError: An error happened while trying to locate the files on the Hub",
    ),
    ("no_network", "OSError: We couldn't connect to 'https://huggingface.co' to load the files."),
    ("damaged_weights", "safetensors_rust.SafetensorError: Error while deserializing header: MetadataIncompleteBuffer"),
    ("damaged_weights", "safetensors_rust.SafetensorError: incomplete metadata, file not fully covered"),
    (
        "damaged_weights",
        "RuntimeError: PytorchStreamReader failed reading zip archive: failed finding central directory",
    ),
    ("damaged_config", "OSError: It looks like the config file at '/models/m/config.json' is not a valid JSON file."),
    (
        "remote_code",
        "ValueError: Loading o/m requires you to execute the configuration file in that repo on your local machine.",
    ),
    (
        "remote_code",
        "ValueError: The repository o/m contains custom code which must be executed to correctly load the model.",
    ),
    (
        "tokenizer",
        "OSError: Can't load tokenizer for 'o/m'. If you were trying to load it from 'https://huggingface.co/models'",
    ),
    ("tokenizer", "ValueError: Couldn't instantiate the backend tokenizer from one of:"),
    (
        "bfloat16",
        "ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0. Your Tesla T4 GPU has 7.5.",
    ),
    ("unsupported_model", "ValueError: Model architectures ['XForCausalLM'] are not supported for now."),
    (
        "unsupported_model",
        "ValueError: XForCausalLM has no vLLM implementation and the Transformers implementation is not compatible",
    ),
    (
        "compile_cache",
        "(EngineCore_0 pid=90) ERROR 09-10 10:00:00 [core.py:700] AssertionError: failed to get the hash of the compiled graph",
    ),
    (
        "compile_cache",
        "RuntimeError: vLLM failed to compile the model. The most likely reason for this is that a previous compilation failed, leading "
        "to a corrupted compilation artifact.",
    ),
    ("compile_cache", "AssertionError: Expected tensors only, but got: <class 'int'>"),
    (
        "compile_cache",
        r"RuntimeError: Bytes object is corrupted, checksum does not match. Expected: b'h', Got: b'\x07'",
    ),
    ("compile_cache", "ImportError: /root/.cache/vllm/torch_compile_cache/a1/rank_0_0/b2.so: file too short"),
    (
        "expandable_segments",
        "AssertionError: Expandable segments are not compatible with memory pool. Please track https://github.com/pytorch/pytorch/issues/147851",
    ),
    (
        "no_compiler",
        "torch._inductor.exc.InductorError: RuntimeError: Failed to find C compiler. Please specify via CC environment variable",
    ),
    ("secret_file", "/bin/sh: line 1: /run/gpuserve/env: Permission denied"),
    ("secret_file", "/bin/sh: 1: .: cannot open /run/gpuserve/env: No such file"),
    ("secret_file", "/bin/sh: 1: .: Can't open /run/gpuserve/env"),
    ("secret_file", "/bin/sh: .: line 0: can't open '/run/gpuserve/env': Permission denied"),
    ("secret_file", "/bin/sh: line 1: .: /run/gpuserve/env: is a directory"),
    (
        "no_shell",
        f'{DAEMON}runc create failed: unable to start container process: exec: "/bin/sh": stat /bin/sh: no such file or directory',
    ),
    (
        "no_shell",
        f'{DAEMON}unable to start container process: error during container init: exec: "/bin/sh": executable file not found',
    ),
    (
        "permission",
        "PermissionError: [Errno 13] Permission denied: '/root/.cache/huggingface/hub/models--o--m/.locks'",
    ),
    ("permission", "RuntimeError: Data processing error: I/O error: Permission denied (os error 13)"),
    ("permission", 'OSError: [Errno 13] Permission denied: "/models/o\'s/config.json"'),
    (
        "permission",
        "OSError: PermissionError at /root/.cache/huggingface/hub when downloading o/m. Check cache directory permissions.",
    ),
    ("port_taken", "OSError: [Errno 98] Address already in use"),
    (
        "port_taken",
        f"{DAEMON}driver failed programming external connectivity on endpoint vllm-a: Bind for 127.0.0.1:8001 failed: port is already "
        "allocated",
    ),
    (
        "port_taken",
        "torch.distributed.DistNetworkError: The server socket has failed to listen. port: 29500, code: -98, name: EADDRINUSE",
    ),
    ("shared_memory", "RuntimeError: Insufficient space in /dev/shm: 160 MiB required"),
    ("shared_memory", "OSError: [Errno 28] No space left on device: '/dev/shm/psm_1a2b3c'"),
    ("disk_full", "OSError: [Errno 28] No space left on device"),
    (
        "missing_mount",
        f'{DAEMON}invalid mount config for type "bind": bind source path does not exist: /opt/gpuserve/stack/env/a-0.env',
    ),
    ("no_device", f'{DAEMON}could not select device driver "cdi" with capabilities: [[gpu]]'),
    ("no_device", f"{DAEMON}CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=GPU-0"),
    ("no_device", f"{DAEMON}OCI runtime create failed: nvidia-container-cli: initialization error: nvml error"),
    ("nccl", "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:77, invalid usage"),
    ("nccl", "RuntimeError: ncclUnhandledCudaError: Call to CUDA function failed."),
    ("nccl", "RuntimeError: unhandled system error (run with NCCL_DEBUG=INFO for details)"),
    ("segfault", "Fatal Python error: Segmentation fault"),
    ("segfault", "!!!!!!! Segfault encountered !!!!!!!"),
    ("segfault", "/bin/sh: line 1:     7 Segmentation fault      (core dumped) vllm serve o/m"),
    ("bus_error", "Fatal Python error: Bus error"),
    (
        "bus_error",
        "ERROR: Unexpected bus error encountered in worker. This might be caused by insufficient shared memory (shm).",
    ),
    ("bus_error", "/bin/sh: line 1:     7 Bus error               (core dumped) vllm serve o/m"),
    (
        "bus_error",
        "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore_DP0': -7}",
    ),
    (
        "segfault",
        "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore_0': -11}",
    ),
    (
        "killed",
        "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore_DP0': -9}",
    ),
    *REPORTED_LINES,
]


@pytest.mark.parametrize(("cause", "line"), LINES, ids=[f"{cause}-{at}" for at, (cause, _line) in enumerate(LINES)])
def test_a_line_is_known_for_what_it_is(cause: str, line: str) -> None:
    found = diagnose(["INFO 11-24 03:01:35 [core.py:1] starting", f"(EngineCore pid=9) {line}"], 1)
    assert (found.id, found.memory) == (cause, cause in MEMORY)
    assert found.text and found.remedy and "{what}" not in found.text


PATTERNS = [(rule.id, pattern) for rule in RULES for pattern in rule.patterns]


@pytest.mark.parametrize(("cause", "pattern"), PATTERNS, ids=[f"{cause}: {pattern}" for cause, pattern in PATTERNS])
def test_no_pattern_can_be_left_out(cause: str, pattern: str) -> None:
    others = [other for name, other in PATTERNS if name == cause and other != pattern]
    assert any(
        name == cause and re.search(pattern, line) and not any(re.search(other, line) for other in others)
        for name, line in LINES
    ), "no real line is known by this pattern alone"


# A remedy tells what to do, and "Where" when.
VERBS = {
    *(
        "Accept",
        "Build",
        "Check",
        "Log",
        "Rename",
        "Restart",
        "See",
        "Use",
        "Correct",
        "End",
        "Free",
        "Give",
        "Hand",
        "Look",
        "Lower",
        "Put",
        "Raise",
        "Read",
        "Reboot",
    ),
    *("Remove", "Run", "Set", "Start", "Take", "Upgrade", "Wait", "Where"),
}


def test_the_table_itself() -> None:
    assert max(Counter(rule.id for rule in RULES).values()) == 1
    assert {rule.id for rule in RULES if rule.memory} == MEMORY
    assert set(get_args(CauseId)) == {rule.id for rule in RULES} | {"docker", "error", "exit", "unknown"}
    for rule in RULES:
        # A cause is a clause, a remedy a sentence.
        assert (rule.text[0].islower() or rule.text.startswith("Docker ")) and not rule.text.endswith(".")
        assert rule.remedy.split()[0] in VERBS and rule.remedy.endswith(".")
        assert ("{what}" in rule.text) == any("(?P<what>" in pattern for pattern in rule.patterns)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (LINES[3][1], "this engine version does not know an argument it was given: --swap-space 4"),
        (LINES[4][1], "this engine version does not know an argument it was given: --max-num"),
        (LINES[0][1], "the image starts no `vllm serve` (Qwen/Qwen2.5-3B-Instruct)"),
        (
            next(line for cause, line in LINES if cause == "cache_too_small"),
            "the KV cache is smaller than one request of max_model_len needs (4.00 GiB)",
        ),
        (
            next(line for cause, line in LINES if cause == "missing_mount"),
            "what the engine mounts is not on the host: /opt/gpuserve/stack/env/a-0.env",
        ),
        (
            next(line for cause, line in LINES if cause == "permission"),
            "the engine, root without its powers, may not use a file of its caches or of the model "
            "(/root/.cache/huggingface/hub/models--o--m/.locks)",
        ),
        (
            "I/O error: Permission denied (os error 13)",
            "the engine, root without its powers, may not use a file of its caches or of the model (its log says which)",
        ),
    ],
)
def test_what_a_line_names_is_named(line: str, text: str) -> None:
    assert diagnose([line]).text == text
