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
    "--block-size": "The attention backend picks its own, and the plan counts in those.",
    "--pipeline-parallel-size": "Set tensor_parallel_size.",
    "--data-parallel-size": "Write the model once for each copy.",
}
# These the plan decides; the same thing said twice would hide which one counts.
OWNED_FLAGS = {
    "--model": "model",
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
    "--num-gpu-blocks-override": "kv_cache_memory_bytes",
    "--enable-lora": "lora_adapters",
    "--lora-modules": "lora_adapters",
    "--max-loras": "lora_adapters",
    "--max-lora-rank": "rank in lora_adapters",
    "--api-key": "vllm_stack_api_key, which keeps it out of process lists",
}
# The short forms of the above.
_SHORT = {
    "-q": "--quantization",
    "-tp": "--tensor-parallel-size",
    "-pp": "--pipeline-parallel-size",
    "-dp": "--data-parallel-size",
}
# Quantizations that every supported version loads and a plan counts, and those that only some do: from a version on, and up to one.
_ANY: tuple[tuple[int, int, int] | None, tuple[int, int, int] | None] = (None, None)
QUANTIZATIONS = {
    **dict.fromkeys(
        (
            *("awq", "awq_marlin", "gptq", "gptq_marlin", "compressed-tensors", "modelopt", "modelopt_fp4"),
            *("fp8", "fbgemm_fp8", "experts_int8", "mxfp4"),
        ),
        _ANY,
    ),
    "bitsandbytes": (None, (0, 28, 0)),
}
DEFAULT_LORA_RANK = 16


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


def loads(version: Profile, quantization: str | None) -> bool:
    """Whether this version serves models of this quantization; of one that is not in the table nothing is known, and it may."""
    since, before = QUANTIZATIONS.get(quantization or "", _ANY)
    return (since is None or version.version >= since) and (before is None or version.version < before)


def check_quantization(spec: ModelSpec, found: str | None, version: Profile, where: str) -> None:
    """Refuse a quantization that is none, or that this version does not load; `found` is the checkpoint's own."""
    if spec.quantization and spec.quantization not in QUANTIZATIONS:
        raise FleetError(
            f"{where}.quantization: {spec.quantization!r} is not known.",
            f"Take one of {', '.join(sorted(QUANTIZATIONS))}, or leave it out: the engine reads a quantized model's own config.json.",
            f"{where}.quantization",
        )
    for name in (spec.quantization, found):
        if not loads(version, name):
            shown = ".".join(str(number) for number in version.version)
            last = ".".join(str(number) for number in QUANTIZATIONS[name or ""][1] or ())
            raise FleetError(
                f"{where}.quantization: vLLM {shown} no longer loads {name} (removed in {last}).",
                "Take an AWQ, GPTQ or fp8 build of the model, or quantization: fp8, or an older image.",
                f"{where}.quantization",
            )


def _meant(argument: str) -> str:
    """The flag that the engine's parser takes an argument for: it knows short forms, underscores, --no-, and beginnings of flags."""
    flag = argument.split("=", 1)[0]
    if not flag.startswith("--"):
        return _SHORT.get(flag, flag)
    flag = flag.replace("_", "-")
    positive = "--" + flag.removeprefix("--no-") if flag.startswith("--no-") else flag
    for known in (*REFUSED_FLAGS, *OWNED_FLAGS):
        if known == positive or (len(positive) > 4 and known.startswith(positive)):
            return known
    return flag


def check_extra_args(spec: ModelSpec, where: str) -> None:
    """Refuse what no parser takes, and what the plan says already."""
    for argument in spec.extra_args:
        flag = _meant(argument)
        if flag in REFUSED_FLAGS:
            raise FleetError(f"{where}.extra_args: {flag} stops the engine at its start.", REFUSED_FLAGS[flag], where)
        if flag in OWNED_FLAGS:
            raise FleetError(
                f"{where}.extra_args: {flag} is decided by the plan.", f"Set {OWNED_FLAGS[flag]} instead.", where
            )


def lora_rank(spec: ModelSpec) -> int:
    """The largest rank among a model's adapters; 16 where none says."""
    return max(
        (int(adapter.get("rank", DEFAULT_LORA_RANK)) for adapter in spec.lora_adapters), default=DEFAULT_LORA_RANK
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
        args += ["--enable-lora", "--max-loras", str(len(spec.lora_adapters))]
        args += ["--max-lora-rank", str(lora_rank(spec)), "--lora-modules"]
        args += [f"{adapter['name']}={adapter['path']}" for adapter in spec.lora_adapters]
    return [*args, *spec.extra_args]
