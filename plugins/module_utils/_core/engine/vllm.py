# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vLLM: which flags a version takes, and which ones a plan becomes.

Every flag here was run through the argument parsers of the versions named; a flag that a parser refuses kills a server
within seconds, and a restart policy makes that a loop.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine import graphs
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import Gpu
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import ModelSpec

# Older engines charge a neighbour's memory to themselves.
OLDEST = (0, 9, 1)
NEWEST_KNOWN = (0, 33, 0)
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
# Before it, what a model is for was said by --task.
RUNNER_SINCE = (0, 10, 0)
# The oldest whose --uds was tried.
SOCKETS_SINCE = (0, 10, 1)
BFLOAT16_SINCE = (8, 0)
# Bounds on what waits in an engine: 0.29.0 has them, 0.26.0 does not.
QUEUE_BOUNDS_SINCE = (0, 29, 0)
# The oldest whose launch over several hosts without Ray (--nnodes) was tried.
SEVERAL_HOSTS_SINCE = (0, 26, 0)
# Where an engine may fetch media from (CVE-2025-6242).
MEDIA_DOMAINS_SINCE = (0, 11, 0)
# Nobody's domain (RFC 6761): an empty list would allow all.
NO_MEDIA_DOMAIN = "media.invalid"
# Answers that one request may ask for (n); the engine's own bound is 16384. A gateway has a lower one.
MOST_SEQUENCES = 128
# Versions that don't know one of these pass over it.
SAFE_ENVIRONMENT = {"VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0", "VLLM_MAX_N_SEQUENCES": str(MOST_SEQUENCES)}
# Quantizations whose layers are unpacked to eight times their size while they load (vLLM, quantization/auto_awq.py).
UNPACKED = ("awq", "awq_marlin")
# Those whose layers are copied transposed before they are put into the kernels' order (mixed_precision/machete.py).
COPIED = ("gptq", "gptq_marlin", "auto-round", "inc")
OLDEST_CAPABILITY = (7, 0)
# The first release whose image has kernels for cards from this capability on.
IMAGES_SINCE: tuple[tuple[tuple[int, int], tuple[int, int, int]], ...] = (((12, 0), (0, 10, 0)),)
# The least capability of a quantization's kernels, where it is above every supported card's (get_min_capability of 0.26 and 0.33).
CAPABILITIES: Mapping[str, tuple[int, int]] = {
    **dict.fromkeys(("awq", "awq_marlin", "fp8", "compressed-tensors", "gptq_marlin"), (7, 5)),
    **dict.fromkeys(("experts_int8", "fbgemm_fp8", "mxfp4", "modelopt"), (8, 0)),
    "modelopt_fp4": (7, 5),
    "modelopt_mixed": (8, 0),
}


@dataclass(frozen=True)
class Profile:
    """What one version can be told."""

    version: tuple[int, int, int]
    exact_kv: bool
    capture_flag: str

    @property
    def sockets(self) -> bool:
        """Whether it listens on a Unix socket (--uds)."""
        return self.version >= SOCKETS_SINCE

    @property
    def several_hosts(self) -> bool:
        """Whether its processes on several hosts find together without Ray (--nnodes)."""
        return self.version >= SEVERAL_HOSTS_SINCE

    @property
    def shown(self) -> str:
        """The version as people write it."""
        return ".".join(str(number) for number in self.version)


def profile(version: str) -> Profile:
    """The profile of a version; an empty one means the newest that is known."""
    if not version:
        numbers = NEWEST_KNOWN
    else:
        match = re.match(r"v?(\d+)\.(\d+)\.(\d+)", version)
        if match is None:
            fail("vllm_stack_engine_version", f"{version!r} is no version.", "Write it like 0.33.0.")
        numbers = (int(match.group(1)), int(match.group(2)), int(match.group(3)))
    if numbers < OLDEST:
        fail(
            "vllm_stack_engine_image",
            f"vLLM {version} charges its neighbours' memory to itself.",
            "Take 0.10.2 or newer (0.33.0 is what we test).",
        )
    exact = numbers >= (0, 10, 2)
    return Profile(numbers, exact, "--cudagraph-capture-sizes" if numbers >= (0, 12, 0) else "--cuda-graph-sizes")


def loads(profile: Profile, quantization: str | None) -> bool:
    """Whether this version serves models of this quantization; of one that is not in the table nothing is known, and it may."""
    since, before = QUANTIZATIONS.get(quantization or "", _ANY)
    return (since is None or profile.version >= since) and (before is None or profile.version < before)


def check_quantization(spec: ModelSpec, found: str | None, profile: Profile, where: str) -> None:
    """Refuse a quantization that is none, or that this version does not load; `found` is the checkpoint's own."""
    if spec.quantization and spec.quantization not in QUANTIZATIONS:
        fail(
            f"{where}.quantization",
            f"{spec.quantization!r} is not known.",
            f"Take one of {', '.join(sorted(QUANTIZATIONS))}, or leave it out: the engine reads a quantized model's own config.json.",
        )
    for name in (spec.quantization, found):
        if not loads(profile, name):
            last = ".".join(str(number) for number in QUANTIZATIONS[name or ""][1] or ())
            fail(
                f"{where}.quantization",
                f"vLLM {profile.shown} no longer loads {name} (removed in {last}).",
                "Take an AWQ, GPTQ or fp8 build of the model, or quantization: fp8, or an older image.",
            )


def lora_rank(spec: ModelSpec) -> int:
    """The largest rank among a model's adapters; 16 where none says."""
    return max(
        (int(adapter.get("rank", DEFAULT_LORA_RANK)) for adapter in spec.lora_adapters), default=DEFAULT_LORA_RANK
    )


@dataclass(frozen=True)
class EngineSettings:
    """What a plan decided of one engine, as far as it becomes flags; the cache in exact bytes, as a share, or in blocks."""

    max_model_len: int
    max_num_seqs: int
    max_num_batched_tokens: int
    tensor_parallel: int = 1
    kv_cache_dtype: str = "auto"
    enforce_eager: bool = False
    capture_sizes: tuple[int, ...] | None = None
    # The class starts with graphs in pieces alone.
    in_pieces: bool = False
    task: str = "generate"
    # Whether the engine has to be told: it takes the class for one that generates.
    runner: bool = False
    kv_cache_bytes: int | None = None
    utilization: float | None = None
    blocks: int | None = None
    # What is taken on, where the version can bound it; None for no bound.
    queued_requests: int | None = None
    queued_tokens: int | None = None


def engine_args(spec: ModelSpec, profile: Profile, settings: EngineSettings) -> list[str]:
    """The command line after the model's name; sizes are always explicit, since defaults differ by card and version."""
    args = [
        *("--max-model-len", str(settings.max_model_len)),
        *("--max-num-seqs", str(settings.max_num_seqs)),
        *("--max-num-batched-tokens", str(settings.max_num_batched_tokens)),
    ]
    if settings.kv_cache_bytes is not None and profile.exact_kv:
        args += ["--kv-cache-memory-bytes", str(settings.kv_cache_bytes)]
    elif settings.blocks is not None:
        args += ["--num-gpu-blocks-override", str(settings.blocks)]
    if settings.utilization is not None:
        args += ["--gpu-memory-utilization", f"{settings.utilization:g}"]
    if settings.tensor_parallel > 1:
        args += ["--tensor-parallel-size", str(settings.tensor_parallel)]
    args += _group_args(spec)
    if settings.runner:
        args += task_args(settings.task, profile)
    if spec.dtype != "auto":
        args += ["--dtype", spec.dtype]
    if spec.quantization:
        args += ["--quantization", spec.quantization]
    if settings.kv_cache_dtype != "auto":
        args += ["--kv-cache-dtype", settings.kv_cache_dtype]
    if spec.revision:
        args += ["--revision", spec.revision]
    if settings.enforce_eager:
        args.append("--enforce-eager")
    elif settings.capture_sizes:
        args += [profile.capture_flag, *(str(size) for size in settings.capture_sizes)]
    if settings.in_pieces and not settings.enforce_eager:
        args += graphs.arguments(spec.extra_args)
    if spec.trust_remote_code:
        args.append("--trust-remote-code")
    if spec.lora_adapters:
        args += ["--enable-lora", "--max-loras", str(len(spec.lora_adapters))]
        args += ["--max-lora-rank", str(lora_rank(spec)), "--lora-modules"]
        args += [f"{adapter['name']}={adapter['path']}" for adapter in spec.lora_adapters]
    return [*args, *_queue_args(profile, settings), *_safe_args(spec, profile), *spec.extra_args]


def _group_args(spec: ModelSpec) -> list[str]:
    """Flags by which the engines of several hosts are one: the first has the API, the others only compute."""
    group = spec.distributed
    if group is None or group.member is None:
        return []
    return [
        *("--pipeline-parallel-size", str(group.hosts), "--distributed-executor-backend", "mp"),
        *("--nnodes", str(group.hosts), "--node-rank", str(group.member.rank)),
        *("--master-addr", group.member.master_address, "--master-port", str(group.master_port)),
        *(["--headless"] if group.is_headless else []),
    ]


def check_group(spec: ModelSpec, profile: Profile, where: str) -> None:
    """Refuse a group of hosts that this version can't make, or of which nobody has said which host is which."""
    if spec.distributed is None:
        return
    if not profile.several_hosts:
        fail(
            "vllm_stack_engine_image",
            f"vLLM {profile.shown} was not tried over several hosts without Ray.",
            f"Take {'.'.join(str(number) for number in SEVERAL_HOSTS_SINCE)} or newer, or serve {spec.name} on one host.",
        )
    if spec.distributed.member is None:
        fail(
            f"{where}.distributed",
            f"it was not decided which part of {spec.name} this host has.",
            "Import the playbook gpuserve.fleet.inventory_check before the play that plans.",
        )


def _queue_args(profile: Profile, settings: EngineSettings) -> list[str]:
    """Flags that bound what waits; what extra_args says of them comes later, and counts."""
    if profile.version < QUEUE_BOUNDS_SINCE:
        return []
    bounds = {"--max-num-queued-reqs": settings.queued_requests, "--max-num-queued-tokens": settings.queued_tokens}
    return [part for flag, bound in bounds.items() if bound is not None for part in (flag, str(bound))]


def _safe_args(spec: ModelSpec, profile: Profile) -> list[str]:
    """Flags that keep an engine from fetching what a request names, and have it tell which tokens came from its cache."""
    named = any(arg.split("=")[0].replace("_", "-") == "--allowed-media-domains" for arg in spec.extra_args)
    media = profile.version >= MEDIA_DOMAINS_SINCE and not named
    return [*(["--allowed-media-domains", NO_MEDIA_DOMAIN] if media else []), "--enable-prompt-tokens-details"]


def environment(quantization: str | None) -> dict[str, str]:
    """Variables that an engine needs for its weights.

    While weights load it splits no free block of 20 MiB or more (v1/worker/gpu_worker.py: _scoped_allocator_max_split). In segments that
    grow, layers that are unpacked or copied then take fresh pages each: up to the whole card for a moment, and gibibytes that stay.
    """
    return {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:False"} if quantization in (*UNPACKED, *COPIED) else {}


def task_args(task: str, profile: Profile) -> list[str]:
    """Flags that make a pooling model of a class that generates; 0.9 has --task for it, newer ones --runner and --convert."""
    converted = {"embed": "embed", "score": "classify", "classify": "classify"}.get(task)
    if converted is None:
        return []
    if profile.version < RUNNER_SINCE:
        return ["--task", task]
    return ["--runner", "pooling", "--convert", converted]


def check_gpu(spec: ModelSpec, quantization: str | None, profile: Profile, gpu: Gpu, where: str) -> None:
    """Refuse what a card can't compute, or the image has no kernels for, before anything is pulled."""
    capability = gpu.capability
    if capability is None or gpu.is_cpu:
        return
    shown = gpu.compute_capability
    if spec.dtype == "bfloat16" and capability < BFLOAT16_SINCE:
        fail(
            f"{where}.dtype",
            f"{gpu.name} has compute capability {shown}, and bfloat16 is there from 8.0 on.",
            "Set it to half.",
        )
    if capability < OLDEST_CAPABILITY:
        fail(
            "vllm_stack_gpus",
            f"{gpu.name} has compute capability {shown}, and the engine computes from 7.0 on.",
            "Take a newer card.",
        )
    needed = next((version for least, version in IMAGES_SINCE if capability >= least), None)
    if needed is not None and profile.version < needed:
        fail(
            "vllm_stack_engine_image",
            f"vLLM {profile.shown} has no kernels for {gpu.name}, compute capability {shown}.",
            f"Take {'.'.join(str(number) for number in needed)} or newer.",
        )
    least = CAPABILITIES.get(quantization or "")
    if least is not None and capability < least:
        fail(
            f"{where}.quantization",
            f"{quantization} is computed from compute capability {least[0]}.{least[1]} on, {gpu.name} has {shown}.",
            "Take an AWQ or GPTQ build of the model, or a newer card.",
        )
