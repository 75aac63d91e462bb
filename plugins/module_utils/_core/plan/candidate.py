# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One model with everything decided but its place and its KV cache: what was left open is filled in, what can't be is refused."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine import vllm
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import Gpu
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.kv_pool import BLOCK_TOKENS, KvPool
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan import estimate
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.calibration import Calibration
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import LIST, ModelSpec
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import gib, round_up

DEFAULT_LENGTH = 8192
DEFAULT_SEQS = 16
DEFAULT_BATCHED_TOKENS = 2048
# From here on an engine takes the fp8 cache that a checkpoint brings scales for, unless told otherwise.
CHECKPOINT_CACHE_SINCE = (0, 26, 0)
# From here on hybrids cache prefixes unasked, and a sequence then holds two states: the one it has and the one it makes.
TWO_STATES_AFTER = (0, 26, 0)
# The CPU engine cuts its cache into blocks of this many tokens.
CPU_BLOCK_TOKENS = 128


@dataclass(frozen=True)
class Candidate:
    """One model with everything decided but its place and its KV cache."""

    index: int
    spec: ModelSpec
    shape: ModelShape
    load: estimate.Load
    length: int
    pool: KvPool
    parts: tuple[estimate.Part, ...]
    kv_dtype: str
    notes: tuple[str, ...]
    measured_fixed_bytes: int | None = None
    pinned_kv_bytes: int | None = None

    @property
    def fixed_bytes(self) -> int:
        """Everything but the KV cache, on each of its cards."""
        if self.measured_fixed_bytes is not None:
            return self.measured_fixed_bytes
        return sum(part.size_bytes for part in self.parts)

    def part(self, name: str) -> int:
        return sum(part.size_bytes for part in self.parts if part.name == name)

    def kv_bytes(self, requests: float) -> int:
        """Whole blocks for this many full-length requests, and the one block that the engine keeps empty."""
        if not self.shape.has_kv_cache:
            return 0
        blocks = int(self.pool.blocks_per_request(self.length, self.load.max_num_batched_tokens) * requests + 1e-9)
        step = CPU_BLOCK_TOKENS // BLOCK_TOKENS if self.load.on_cpu else 1
        return (round_up(blocks, step) + step) * self.pool.block_bytes

    @property
    def floor_bytes(self) -> int:
        """The least KV cache: one full-length request, or what the user pinned."""
        return self.kv_bytes(1) if self.pinned_kv_bytes is None else self.pinned_kv_bytes

    @property
    def need_bytes(self) -> int:
        """The least that must be there for it, on each of its cards."""
        return self.fixed_bytes + self.floor_bytes


def candidate(
    index: int,
    spec: ModelSpec,
    shape: ModelShape,
    version: vllm.Profile,
    gpu: Gpu,
    calibration: Calibration,
    capture_sizes: tuple[int, ...] | None = None,
    choices: Sequence[str] = (),
) -> Candidate:
    """Fill in what the user left open, and refuse what can't be; `choices` says what was chosen for the model, and why."""
    at = f"{LIST}[{index}]"
    notes = [*choices]
    if spec.max_model_len is not None and spec.max_model_len > shape.max_positions:
        raise FleetError(
            f"{at}.max_model_len: {spec.max_model_len} is more than {spec.model} can, {shape.max_positions}.",
            f"Set it to {shape.max_positions} or less.",
            f"{at}.max_model_len",
        )
    length = spec.max_model_len or min(shape.max_positions, DEFAULT_LENGTH)
    if spec.max_model_len is None and length < shape.max_positions:
        notes.append(f"max_model_len {length}: none was set, and the model could {shape.max_positions}")
    seqs, tokens = _batch(spec, shape, length, at)
    notes += _doubts(shape)
    vllm.check_extra_args(spec, at)
    vllm.check_quantization(spec, shape.quantization, version, at)
    kv_dtype = spec.kv_cache_dtype
    if kv_dtype == "auto" and shape.fp8_cache and version.version >= CHECKPOINT_CACHE_SINCE:
        kv_dtype = "fp8"
        notes.append("kv_cache_dtype fp8: the checkpoint brings the scales, and the engine would take it by itself")
    if kv_dtype == "fp8_e5m2" and shape.quantization in ("fp8", "fbgemm_fp8") and not spec.quantization:
        raise FleetError(
            f"{at}.kv_cache_dtype: fp8_e5m2 does not go with a checkpoint in fp8.",
            "Set it to fp8.",
            f"{at}.kv_cache_dtype",
        )
    fp8_cache = kv_dtype.startswith("fp8")
    tensor_parallel = spec.tensor_parallel_size or 1
    if (shape.kv_heads % tensor_parallel and tensor_parallel % shape.kv_heads) or shape.heads % tensor_parallel:
        raise FleetError(
            f"{at}.tensor_parallel_size: {tensor_parallel} does not divide {spec.model}'s {shape.heads} heads.",
            "Take a power of two that does.",
            f"{at}.tensor_parallel_size",
        )
    states = 2 if version.version > TWO_STATES_AFTER else 1
    pool = shape.kv_pool(1 if fp8_cache else shape.dtype_bytes, tensor_parallel, states)
    pinned = spec.kv_cache_memory_bytes
    load = estimate.Load(
        max_num_seqs=seqs,
        max_num_batched_tokens=tokens,
        enforce_eager=spec.enforce_eager or gpu.is_cpu,
        capture_sizes=capture_sizes,
        tensor_parallel=tensor_parallel,
        fp8_cache=fp8_cache,
        compute_capability=gpu.compute_capability,
        max_model_len=length,
        lora_slots=len(spec.lora_adapters),
        lora_rank=vllm.lora_rank(spec),
        online_fp8=spec.quantization == "fp8" and shape.quantization == "fp8",
        on_cpu=gpu.is_cpu,
        cached_tokens=pool.tokens(pinned, length, tokens) if pinned and shape.has_kv_cache else None,
    )
    found = estimate.parts(shape, load)
    if not shape.known:
        # What is known of the weights is believed; all else is a Llama's, and a tenth more.
        found = tuple(
            part if part.name == "weights" else dataclasses.replace(part, size_bytes=part.size_bytes * 11 // 10)
            for part in found
        )
    made = Candidate(
        index=index,
        spec=spec,
        shape=shape,
        load=load,
        length=length,
        pool=pool,
        parts=found,
        kv_dtype=kv_dtype,
        notes=tuple(notes),
    )
    args = arguments(made, version, None, None, None)
    made = dataclasses.replace(
        made, measured_fixed_bytes=calibration.fixed_bytes(gpu.name, spec.model, args, made.fixed_bytes)
    )
    return dataclasses.replace(made, pinned_kv_bytes=_pinned(made, gpu, version, at))


def arguments(
    item: Candidate, version: vllm.Profile, kv_cache_bytes: int | None, utilization: float | None, blocks: int | None
) -> list[str]:
    """The engine's command line for a cache of this size (exact bytes, a share, or blocks)."""
    return vllm.engine_args(
        item.spec,
        version,
        max_model_len=item.length,
        max_num_seqs=item.load.max_num_seqs,
        max_num_batched_tokens=item.load.max_num_batched_tokens,
        kv_cache_bytes=kv_cache_bytes,
        utilization=utilization,
        blocks=blocks,
        tensor_parallel=item.load.tensor_parallel,
        kv_cache_dtype=item.kv_dtype,
        enforce_eager=item.load.enforce_eager,
        capture_sizes=item.load.capture_sizes,
    )


def _batch(spec: ModelSpec, shape: ModelShape, length: int, at: str) -> tuple[int, int]:
    """Sequences and tokens of one batch; the engine refuses fewer tokens than sequences."""
    pinned = spec.max_num_batched_tokens
    seqs = spec.max_num_seqs or min(DEFAULT_SEQS, pinned or DEFAULT_SEQS)
    if shape.has_kv_cache:
        return seqs, pinned or max(DEFAULT_BATCHED_TOKENS, seqs)
    if pinned is not None and pinned < length:
        raise FleetError(
            f"{at}.max_num_batched_tokens: {pinned} is less than max_model_len, {length}, and {spec.model} reads a text in one go.",
            f"Raise it to {length} at least, or lower max_model_len.",
            f"{at}.max_num_batched_tokens",
        )
    return seqs, pinned or max(DEFAULT_BATCHED_TOKENS, seqs, length)


def _doubts(shape: ModelShape) -> list[str]:
    """What a person should know of where the weights' bytes come from."""
    found = []
    if not shape.known:
        found.append(
            f"architecture {shape.architecture} is unknown: all but its weights planned like a Llama's with a tenth more"
        )
    if shape.given_weights_bytes is not None:
        found.append(f"weights as written, {gib(shape.given_weights_bytes)}")
    elif shape.tensor_bytes is not None:
        found.append(f"weights by the checkpoint's own tensors, {gib(shape.tensor_bytes)}")
    elif not shape.count_is_right:
        found.append(
            f"weights as large as the checkpoint, {gib(shape.weights_bytes())}: its tensors counted are another size"
        )
    elif shape.plain_parts:
        found.append(f"{shape.plain_parts} stay in {shape.dtype_bytes * 8} bits, by the checkpoint's own lists")
    if shape.encoders.kinds:
        found.append(f"an encoder ({' and '.join(shape.encoders.kinds)}) is part of the weights")
    if shape.has_states:
        found.append("layers with a state a sequence: the cache holds states beside tokens")
    return found


def _pinned(made: Candidate, gpu: Gpu, version: vllm.Profile, at: str) -> int | None:
    """The KV cache that the user pinned, in bytes or as what a share of the card leaves; None where the plan decides."""
    spec = made.spec
    key = "kv_cache_memory_bytes" if spec.kv_cache_memory_bytes is not None else "gpu_memory_utilization"
    if getattr(spec, key) is None or (not made.shape.has_kv_cache and key == "gpu_memory_utilization"):
        return None
    if not made.shape.has_kv_cache:
        raise FleetError(f"{at}.{key}: {spec.model} has no KV cache.", "Leave it out.", f"{at}.{key}")
    least = made.kv_bytes(1)
    if spec.kv_cache_memory_bytes is not None:
        if not version.exact_kv:
            raise FleetError(
                f"{at}.{key}: this engine version takes no exact bytes.",
                "Use 0.10.2 or newer, or pin gpu_memory_utilization.",
                f"{at}.{key}",
            )
        if spec.kv_cache_memory_bytes < least:
            raise FleetError(
                f"{at}.{key}: {gib(spec.kv_cache_memory_bytes)} is less than one request of {made.length} tokens needs, {gib(least)}.",
                f"Raise it to {least}, or lower max_model_len.",
                f"{at}.{key}",
            )
        return spec.kv_cache_memory_bytes
    profiled = made.part("weights") + estimate.profiled_bytes(made.shape, made.load)
    given = int((spec.gpu_memory_utilization or 0) * gpu.usable_bytes) - profiled
    if given < least:
        share = math.ceil((profiled + least) / gpu.usable_bytes * 100) / 100
        cure = f"Raise it to {share:g}" if share <= 1 else "Take a larger card"
        raise FleetError(
            f"{at}.{key}: {spec.gpu_memory_utilization:g} of {gpu.name} leaves {gib(max(0, given))} for the KV cache and one request of "
            f"{made.length} tokens needs {gib(least)}.",
            f"{cure}, or lower max_model_len.",
            f"{at}.{key}",
        )
    return given // made.pool.block_bytes * made.pool.block_bytes
