# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put the models on the cards: fixed needs first, the rest to KV caches, and a reason for every decision."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import memory
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.calibration import Calibration
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engines import vllm
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import Gpu
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.model import BLOCK_TOKENS, KvPool, ModelShape
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.presets import SHARES, budget_bytes
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import LIST, ModelSpec
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import MIB, gib, round_up

DEFAULT_LENGTH = 8192
DEFAULT_SEQS = 16
DEFAULT_BATCHED_TOKENS = 2048
# From here on an engine takes the fp8 cache that a checkpoint brings scales for, unless told otherwise.
CHECKPOINT_CACHE_SINCE = (0, 26, 0)
# What max_model_len is lowered by where that is the cure.
LENGTH_STEP = 256
# With exact KV bytes the share only feeds the engine's own check of free memory, which our gate has made before.
ADMISSION_SHARE = 0.01
# The CPU engine cuts its cache into blocks of this many tokens.
CPU_BLOCK_TOKENS = 128


@dataclass(frozen=True)
class Candidate:
    """One model with everything decided but its place and its KV cache."""

    index: int
    spec: ModelSpec
    shape: ModelShape
    load: memory.Load
    length: int
    pool: KvPool
    parts: tuple[memory.Part, ...]
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
    pool = shape.kv_pool(1 if fp8_cache else shape.dtype_bytes, tensor_parallel)
    pinned = spec.kv_cache_memory_bytes
    load = memory.Load(
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
    found = memory.parts(shape, load)
    if not shape.known:
        found = tuple(dataclasses.replace(part, size_bytes=part.size_bytes * 11 // 10) for part in found)
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
    args = _arguments(made, version, None, None, None)
    made = dataclasses.replace(
        made, measured_fixed_bytes=calibration.fixed_bytes(gpu.name, spec.model, args, made.fixed_bytes)
    )
    return dataclasses.replace(made, pinned_kv_bytes=_pinned(made, gpu, version, at))


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
        what = "its other parts estimated," if shape.vision_parameters else "unknown: planned like a Llama"
        found.append(f"architecture {shape.architecture}, {what} with a tenth more, check after the start")
    if shape.given_weights_bytes is not None:
        return [*found, f"weights as written, {gib(shape.given_weights_bytes)}"]
    if not shape.count_is_right:
        return [
            *found,
            f"weights as large as the checkpoint, {gib(shape.weights_bytes())}: its tensors counted are another size",
        ]
    if not shape.known_quantization:
        found.append(f"quantization {shape.quantization} is unknown: planned as if there were none, set weights_bytes")
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
    profiled = made.part("weights") + memory.profiled_bytes(made.shape, made.load)
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


def make_plan(
    candidates: Sequence[Candidate], gpus: Sequence[Gpu], preset: str, version: vllm.Profile
) -> dict[str, Any]:
    """The plan as plain data, in the shape that the memory_plan module returns."""
    placed, reasons = _place(candidates, gpus, preset)
    on = {gpu.uuid: [item for item in candidates if gpu.uuid in placed.get(item.index, ())] for gpu in gpus}
    budgets = {gpu.uuid: budget_bytes(preset, gpu.usable_bytes) for gpu in gpus}
    fitted = _fit_all(on, budgets)
    cards = []
    for gpu in gpus:
        here = on[gpu.uuid]
        kv, short = fitted[gpu.uuid]
        if short > 0:
            reasons.append(_short_reason(here, gpu, preset, short))
        models = [_model_entry(item, kv[item.index], gpu, placed[item.index], version) for item in here]
        used = sum(model["total_bytes"] for model in models)
        cards.append(
            {
                "index": gpu.index,
                "uuid": gpu.uuid,
                "name": gpu.name,
                "usable_bytes": gpu.usable_bytes,
                "budget_bytes": budgets[gpu.uuid],
                "used_bytes": used,
                "headroom_bytes": gpu.usable_bytes - used,
                "models": models,
            }
        )
    return {"feasible": not reasons, "reasons": reasons, "preset": preset, "gpus": cards}


def _fit_all(
    on: Mapping[str, Sequence[Candidate]], budgets: Mapping[str, int]
) -> dict[str, tuple[dict[int, int], int]]:
    """Every card's KV bytes and what it is short of; a model on several cards has as much on each as the fullest of them gives."""
    fitted = {uuid: _fit(here, budgets[uuid]) for uuid, here in on.items()}
    spread = {item.index for here in on.values() for item in here if item.load.tensor_parallel > 1}
    if not spread:
        return fitted
    least = {index: min(kv[index] for kv, _short in fitted.values() if index in kv) for index in spread}
    return {
        uuid: _fit(
            [
                dataclasses.replace(item, pinned_kv_bytes=least[item.index]) if item.index in least else item
                for item in here
            ],
            budgets[uuid],
        )
        for uuid, here in on.items()
    }


def _place(
    candidates: Sequence[Candidate], gpus: Sequence[Gpu], preset: str
) -> tuple[dict[int, tuple[str, ...]], list[str]]:
    """Which cards each model is on: spread evenly where that fits, packed where only that does."""
    found = [_place_by(candidates, gpus, preset, tight) for tight in (False, True)]
    return next(((placed, reasons) for placed, reasons, fits in found if fits), found[0][:2])


def _place_by(
    candidates: Sequence[Candidate], gpus: Sequence[Gpu], preset: str, tight: bool
) -> tuple[dict[int, tuple[str, ...]], list[str], bool]:
    """One way to place them, the largest first, and whether every card holds its own."""
    sign = 1 if tight else -1
    left = {gpu.uuid: budget_bytes(preset, gpu.usable_bytes) for gpu in gpus}
    names = {key: gpu.uuid for gpu in gpus for key in (gpu.uuid, str(gpu.index))}
    placed: dict[int, tuple[str, ...]] = {}
    reasons: list[str] = []
    if not gpus:
        return placed, ["No card to plan for: none answers on the host, and vllm_stack_gpus names none."], False
    for item in sorted(candidates, key=lambda one: (not one.spec.gpus, -one.need_bytes, one.spec.name)):
        wanted = [names.get(gpu, "") for gpu in item.spec.gpus]
        if "" in wanted:
            raise FleetError(
                f"{LIST}[{item.index}].gpus: the host has no GPU {item.spec.gpus[wanted.index('')]}.",
                f"Take from {', '.join(str(gpu.index) for gpu in gpus)}.",
                f"{LIST}[{item.index}].gpus",
            )
        need = item.need_bytes
        # Balanced: onto the card with most left. Tight: onto the one with least left that holds it.
        among = sorted(wanted or list(left), key=lambda uuid: (tight and left[uuid] < need, sign * left[uuid], uuid))
        chosen = tuple(among[: item.load.tensor_parallel])
        if len(chosen) < item.load.tensor_parallel:
            reasons.append(
                f"{item.spec.name} asks for {item.load.tensor_parallel} cards (tensor_parallel_size) and {len(among)} are there."
            )
        placed[item.index] = chosen
        for uuid in chosen:
            left[uuid] -= need
    return placed, reasons, not reasons and min(left.values()) >= 0


def _fit(here: Sequence[Candidate], budget: int) -> tuple[dict[int, int], int]:
    """KV bytes for each model on one card, and by how many bytes the least that must be there is short.

    Higher priorities are filled first, up to what max_num_seqs full-length requests can use; within one priority every model
    gets the same number of requests, as far as it wants them.
    """
    kv = {item.index: item.floor_bytes for item in here}
    rest = budget - sum(item.fixed_bytes for item in here) - sum(kv.values())
    if rest < 0:
        return kv, -rest
    open_items = [i for i in here if i.pinned_kv_bytes is None and i.shape.has_kv_cache]
    for priority in sorted({item.spec.priority for item in open_items}, reverse=True):
        level = [item for item in open_items if item.spec.priority == priority]
        available = rest + sum(item.floor_bytes for item in level)
        requests = _requests(level, available)
        for item in level:
            kv[item.index] = max(item.floor_bytes, item.kv_bytes(min(item.load.max_num_seqs, requests)))
        rest = available - sum(kv[item.index] for item in level)
    return kv, 0


def _requests(level: Sequence[Candidate], available: int) -> float:
    """The most full-length requests that every model of a level can have at once, by bisection on a fine grid."""

    def cost(requests: float) -> int:
        return sum(max(item.floor_bytes, item.kv_bytes(min(item.load.max_num_seqs, requests))) for item in level)

    low, high = 64, 64 * max(item.load.max_num_seqs for item in level)
    if cost(high / 64) <= available:
        return high / 64
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if cost(middle / 64) <= available else (low, middle)
    return low / 64


def _model_entry(
    item: Candidate, kv_bytes: int, gpu: Gpu, cards: tuple[str, ...], version: vllm.Profile
) -> dict[str, Any]:
    exact = version.exact_kv and item.spec.gpu_memory_utilization is None
    utilization: float | None = None if gpu.is_cpu else ADMISSION_SHARE
    blocks = None
    profiled = item.part("weights") + memory.profiled_bytes(item.shape, item.load)
    if item.spec.gpu_memory_utilization is not None:
        utilization = item.spec.gpu_memory_utilization
    elif not version.exact_kv:
        # The share must let the engine's own profile pass; the blocks then pin the cache whatever it measured.
        utilization = min(1.0, round((profiled * 1.05 + kv_bytes) / gpu.usable_bytes + 0.00005, 4))
        blocks = kv_bytes // item.pool.block_bytes
    arguments = _arguments(item, version, kv_bytes if exact and item.shape.has_kv_cache else None, utilization, blocks)
    length, tokens = item.length, item.load.max_num_batched_tokens
    concurrency = item.pool.concurrency(kv_bytes, length, tokens) if kv_bytes else 0.0
    listed = [*item.parts]
    if item.measured_fixed_bytes is not None:
        correction = item.measured_fixed_bytes - sum(part.size_bytes for part in item.parts)
        listed.append(
            memory.Part("measured", correction, "what earlier starts on this host held besides the parts above")
        )
    listed.append(memory.Part("kv_cache", kv_bytes, f"{concurrency:.1f} requests of {length} tokens"))
    notes = list(item.notes)
    if item.shape.has_kv_cache and concurrency < item.load.max_num_seqs:
        notes.append(f"serves {int(concurrency)} of the {item.load.max_num_seqs} full-length requests of max_num_seqs")
    if item.measured_fixed_bytes is not None:
        more = (item.measured_fixed_bytes - sum(part.size_bytes for part in item.parts)) // MIB
        notes.append(f"planned from what earlier starts on this host measured, {more:+d} MiB against what is computed")
    return {
        "name": item.spec.name,
        "model": item.spec.model,
        "engine": item.spec.engine,
        "port": item.spec.port,
        "gpu_uuids": list(cards),
        "tensor_parallel_size": item.load.tensor_parallel,
        "max_model_len": length,
        "max_num_seqs": item.load.max_num_seqs,
        "max_num_batched_tokens": tokens,
        "enforce_eager": item.load.enforce_eager,
        "kv_cache_dtype": item.kv_dtype,
        "weights_bytes": item.part("weights"),
        "kv_cache_bytes": kv_bytes,
        "activation_bytes": item.part("activations") + item.part("sampler"),
        "cuda_graph_bytes": item.part("cuda_graphs"),
        "context_bytes": item.part("context"),
        "total_bytes": item.fixed_bytes + kv_bytes,
        "peak_bytes": item.fixed_bytes + kv_bytes,
        "kv_cache_tokens": item.pool.tokens(kv_bytes, length, tokens) if kv_bytes else 0,
        "max_concurrency": round(concurrency, 2),
        "exact_kv": exact,
        "engine_args": arguments,
        "env": {},
        "parts": [{"name": part.name, "bytes": part.size_bytes, "reason": part.reason} for part in listed],
        "notes": notes,
    }


def _arguments(
    item: Candidate, version: vllm.Profile, kv_cache_bytes: int | None, utilization: float | None, blocks: int | None
) -> list[str]:
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


def _short_reason(here: Sequence[Candidate], gpu: Gpu, preset: str, short: int) -> str:
    """What is short, and the nearest thing that fits: each was planned before it is said."""
    names = ", ".join(item.spec.name for item in here)
    text = (
        f"{names} {'needs' if len(here) == 1 else 'need'} {gib(short)} more than preset {preset} allows on {gpu.name}."
    )
    budget = budget_bytes(preset, gpu.usable_bytes)
    for other, share in SHARES.items():
        if share > SHARES.get(preset, 1.0) and _fit(here, budget_bytes(other, gpu.usable_bytes))[1] == 0:
            return f"{text} Set vllm_stack_preset: {other}, where they fit."
    shorter = [(length, item) for item in here if (length := _shorter(item, here, budget))]
    if shorter:
        length, item = max(shorter, key=lambda found: (found[0] / found[1].length, found[1].spec.name))
        return f"{text} Set max_model_len of {item.spec.name} to {length}, where they fit."
    for item in sorted(here, key=lambda one: (-one.floor_bytes, one.spec.name)):
        if cure := _smaller_pin(item, gpu, short):
            return f"{text} {cure}, where they fit."
    for count in range(len(here) - 1, 0, -1):
        kept = sorted(here, key=lambda item: (item.need_bytes, item.spec.name))[:count]
        if _fit(kept, budget)[1] == 0:
            left_out = ", ".join(item.spec.name for item in here if item not in kept)
            return f"{text} Without {left_out} the others fit."
    return f"{text} Take a smaller or a quantized model, or a larger card."


def _shorter(item: Candidate, here: Sequence[Candidate], budget: int) -> int:
    """The largest max_model_len of one model, in steps, with which they all fit; 0 where there is none."""
    if not item.shape.has_kv_cache or item.pinned_kv_bytes is not None:
        return 0
    low, high = 0, (item.length - 1) // LENGTH_STEP
    while low < high:
        middle = (low + high + 1) // 2
        less = dataclasses.replace(item, length=middle * LENGTH_STEP)
        fits = _fit([less if one is item else one for one in here], budget)[1] == 0
        low, high = (middle, high) if fits else (low, middle - 1)
    return low * LENGTH_STEP


def _smaller_pin(item: Candidate, gpu: Gpu, short: int) -> str:
    """What a pinned cache would have to be lowered to; nothing where that is less than one request needs, or none is pinned."""
    if item.pinned_kv_bytes is None:
        return ""
    least, block = item.kv_bytes(1), item.pool.block_bytes
    enough = (item.pinned_kv_bytes - short) // block * block
    if item.spec.kv_cache_memory_bytes is not None:
        return f"Lower kv_cache_memory_bytes of {item.spec.name} to {enough} ({gib(enough)})" if enough >= least else ""
    profiled = item.part("weights") + memory.profiled_bytes(item.shape, item.load)
    share = math.floor((profiled + enough) / gpu.usable_bytes * 100) / 100
    if int(share * gpu.usable_bytes) - profiled < least:
        return ""
    return f"Lower gpu_memory_utilization of {item.spec.name} to {share:g}"
