# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vLLM: which flags a version takes, and which ones a plan becomes.

Every flag here was run through the argument parsers of the versions named; a flag that a parser refuses kills a server
within seconds, and a restart policy makes that a loop.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import ModelSpec

# Older engines charge a neighbour's memory to themselves.
OLDEST = (0, 9, 1)
NEWEST_KNOWN = (0, 33, 0)
# Flags of older guides that a parser of some supported version refuses or ignores, and what to do instead.
REFUSED_FLAGS = {
    "--use-v2-block-manager": "No version since 0.10 has it.",
    "--swap-space": "It was removed in 0.18 and did nothing before.",
    "--disable-log-requests": "Requests aren't logged unless asked for.",
    "--max-parallel-loading-workers": "It does nothing.",
    "--device": "The image decides.",
    "--max-seq-len-to-capture": "It was removed.",
    "--task": "It was removed.",
    "--guided-decoding-backend": "It was removed.",
}
# These the plan decides; the same thing said twice would hide which one counts.
OWNED_FLAGS = {
    "--port": "port",
    "--host": "nothing: the stack binds it",
    "--served-model-name": "name",
    "--max-model-len": "max_model_len",
    "--max-num-seqs": "max_num_seqs",
    "--max-num-batched-tokens": "max_num_batched_tokens",
    "--gpu-memory-utilization": "gpu_memory_utilization",
    "--kv-cache-memory-bytes": "kv_cache_memory_bytes",
    "--kv-cache-dtype": "kv_cache_dtype",
    "--tensor-parallel-size": "tensor_parallel_size",
    "--enforce-eager": "enforce_eager",
    "--dtype": "dtype",
    "--quantization": "quantization",
    "--revision": "revision",
    "--trust-remote-code": "trust_remote_code",
    "--api-key": "vllm_stack_api_key, which keeps it out of process lists",
}


@dataclass(frozen=True)
class Profile:
    """What one version can be told."""

    version: tuple[int, int, int]
    exact_kv: bool
    capture_flag: str


def profile(version: str) -> Profile:
    """The profile of a version; an empty one means the newest that is known."""
    if not version:
        numbers = NEWEST_KNOWN
    else:
        match = re.match(r"v?(\d+)\.(\d+)\.(\d+)", version)
        if match is None:
            raise FleetError(
                f"vllm_stack_engine_version: {version!r} is no version.",
                "Write it like 0.33.0.",
                "vllm_stack_engine_version",
            )
        numbers = (int(match.group(1)), int(match.group(2)), int(match.group(3)))
    if numbers < OLDEST:
        raise FleetError(
            f"vllm_stack_engine_image: vLLM {version} charges its neighbours' memory to itself.",
            "Take 0.10.2 or newer (0.33.0 is what we test).",
            "vllm_stack_engine_image",
        )
    exact = numbers >= (0, 10, 2)
    return Profile(numbers, exact, "--cudagraph-capture-sizes" if numbers >= (0, 12, 0) else "--cuda-graph-sizes")


def check_extra_args(spec: ModelSpec, where: str) -> None:
    """Refuse what no parser takes, and what the plan says already."""
    for argument in spec.extra_args:
        flag = argument.split("=", 1)[0]
        if flag in REFUSED_FLAGS:
            raise FleetError(f"{where}.extra_args: {flag} stops the engine at its start.", REFUSED_FLAGS[flag], where)
        if flag in OWNED_FLAGS:
            raise FleetError(
                f"{where}.extra_args: {flag} is decided by the plan.", f"Set {OWNED_FLAGS[flag]} instead.", where
            )


def engine_args(
    spec: ModelSpec,
    version: Profile,
    *,
    max_model_len: int,
    max_num_seqs: int,
    max_num_batched_tokens: int,
    kv_cache_bytes: int | None,
    utilization: float | None,
    blocks: int | None,
    tensor_parallel: int,
    kv_cache_dtype: str,
    enforce_eager: bool,
    capture_sizes: tuple[int, ...] | None,
) -> list[str]:
    """The command line after the model's name; sizes are always explicit, since defaults differ by card and version."""
    args = [
        *("--max-model-len", str(max_model_len)),
        *("--max-num-seqs", str(max_num_seqs)),
        *("--max-num-batched-tokens", str(max_num_batched_tokens)),
    ]
    if kv_cache_bytes is not None and version.exact_kv:
        args += ["--kv-cache-memory-bytes", str(kv_cache_bytes)]
    elif blocks is not None:
        args += ["--num-gpu-blocks-override", str(blocks)]
    if utilization is not None:
        args += ["--gpu-memory-utilization", f"{utilization:g}"]
    if tensor_parallel > 1:
        args += ["--tensor-parallel-size", str(tensor_parallel)]
    if spec.dtype != "auto":
        args += ["--dtype", spec.dtype]
    if spec.quantization:
        args += ["--quantization", spec.quantization]
    if kv_cache_dtype != "auto":
        args += ["--kv-cache-dtype", kv_cache_dtype]
    if spec.revision:
        args += ["--revision", spec.revision]
    if enforce_eager:
        args.append("--enforce-eager")
    elif capture_sizes:
        args += [version.capture_flag, *(str(size) for size in capture_sizes)]
    if spec.trust_remote_code:
        args.append("--trust-remote-code")
    if spec.lora_adapters:
        args += ["--enable-lora", "--max-loras", str(len(spec.lora_adapters)), "--lora-modules"]
        args += [f"{adapter['name']}={adapter['path']}" for adapter in spec.lora_adapters]
    return [*args, *spec.extra_args]
