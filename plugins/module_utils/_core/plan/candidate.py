# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One model with everything decided but its place and its KV cache: what was left open is filled in, what can't be is refused."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine import flags, graphs, vllm
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine.vllm import EngineSettings
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import Gpu
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import gone, tasks
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.kv_pool import BLOCK_TOKENS, KvPool
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.stages import Stage, stage_of
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan import estimate
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.calibration import Calibration
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.load import Load, Part
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import LIST, ModelSpec
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import gib, round_up

DEFAULT_LENGTH = 8192
DEFAULT_SEQS = 16
DEFAULT_BATCHED_TOKENS = 2048
# From here on an engine takes the fp8 cache that a checkpoint brings scales for, unless told otherwise.
CHECKPOINT_CACHE_SINCE = (0, 26, 0)
# Newer ones cache prefixes of hybrids unasked, and a sequence then holds two states: the one it has and the one it makes.
TWO_STATES_AFTER = (0, 26, 0)
# The CPU engine cuts its cache into blocks of this many tokens.
CPU_BLOCK_TOKENS = 128
# What an encoder is given on the CPU, where the engine checks for most of the host's memory unless a cache is named.
CPU_ENCODER_CACHE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Choice:
    """One model with what was chosen for it so far, and why."""

    spec: ModelSpec
    shape: ModelShape
    index: int = 0
    capture_sizes: tuple[int, ...] | None = None
    reasons: tuple[str, ...] = ()

    def having(self, reason: str, capture_sizes: tuple[int, ...] | None = None, **settings: Any) -> Choice:
        return replace(
            self,
            spec=replace(self.spec, **settings),
            capture_sizes=capture_sizes or self.capture_sizes,
            reasons=(*self.reasons, reason),
        )


@dataclass(frozen=True)
class Candidate:
    """One model with everything decided but its place and its KV cache, as it would be on one kind of card."""

    index: int
    spec: ModelSpec
    shape: ModelShape
    load: Load
    settings: EngineSettings
    pool: KvPool
    parts: tuple[Part, ...]
    notes: tuple[str, ...]
    measured_fixed_bytes: int | None = None
    pinned_kv_bytes: int | None = None
    # The same model on cards of another kind; None where it can't be there.
    elsewhere: Mapping[str, Candidate | None] = field(default_factory=dict)

    def on(self, uuid: str) -> Candidate | None:
        """The model as it would be on this card; None where it can't be there."""
        return self.elsewhere.get(uuid, self)

    @property
    def length(self) -> int:
        return self.settings.max_model_len

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


def candidate(choice: Choice, profile: vllm.Profile, gpu: Gpu, calibration: Calibration) -> Candidate:
    """Fill in what the user left open for one kind of card, and refuse what can't be."""
    spec, at = choice.spec, f"{LIST}[{choice.index}]"
    vllm.check_group(spec, profile, at)
    shape, stage = _stage(choice, at)
    flags.check(spec.extra_args, at)
    memory = flags.read(spec.extra_args, at)
    heads = _check_drafts(spec, shape, memory, at)
    vllm.check_quantization(spec, shape.quantization, profile, at)
    vllm.check_gpu(spec, shape.quantization, profile, gpu, at)
    length, length_note = _length(spec, shape, at)
    kv_dtype, cache_notes = _cache_dtype(spec, shape, profile, at)
    ranks = _ranks(spec, shape, at)
    cache_bytes = 1 if kv_dtype.startswith("fp8") else shape.dtype_bytes
    # A head of which only the weights are written keeps what one of the model's own layers does.
    one_more = max(1, shape.ahead_layers) if memory.ahead else int(heads)
    pool = shape.kv_pool(cache_bytes, ranks, _states(profile, memory), memory.one_kind_of_cache, one_more)
    seqs, tokens = _batch(spec, shape, length, at)
    task = spec.task or shape.task
    settings = EngineSettings(
        max_model_len=length,
        max_num_seqs=seqs,
        max_num_batched_tokens=tokens,
        tensor_parallel=ranks,
        kv_cache_dtype=kv_dtype,
        enforce_eager=spec.enforce_eager or gpu.is_cpu,
        capture_sizes=choice.capture_sizes,
        in_pieces=graphs.in_pieces(shape.served_as, profile.version),
        task=task,
        runner=task in tasks.POOLING and not shape.pools_unasked,
    )
    load = _load(spec, shape, settings, memory, gpu)
    if stage is not None:
        load = replace(load, stage=stage)
    if (pinned := spec.kv_cache_memory_bytes) and shape.has_kv_cache:
        load = replace(load, cached_tokens=pool.tokens(pinned, length, tokens))
    found = estimate.parts(shape, load)
    if not shape.known:
        # What is known of the weights is believed; all else is a Llama's, and a tenth more.
        found = tuple(
            part if part.name == "weights" else replace(part, size_bytes=part.size_bytes * 11 // 10) for part in found
        )
    made = Candidate(
        index=choice.index,
        spec=spec,
        shape=shape,
        load=load,
        settings=settings,
        pool=pool,
        parts=found,
        notes=(
            *choice.reasons,
            *length_note,
            *_doubts(choice.shape),
            *gone.note(shape.served_as, profile.version),
            *cache_notes,
            *memory.notes,
            *_of_group(stage),
        ),
    )
    measured = calibration.fixed_bytes(
        gpu.name, spec.model, vllm.engine_args(spec, profile, settings), made.fixed_bytes
    )
    if measured is not None:
        made = replace(made, measured_fixed_bytes=measured)
    pinned_bytes = _pinned(made, gpu, profile, at)
    return made if pinned_bytes is None else replace(made, pinned_kv_bytes=pinned_bytes)


def _stage(choice: Choice, at: str) -> tuple[ModelShape, Stage | None]:
    """What this host has of the model: all of it, or its stage."""
    group = choice.spec.distributed
    if group is None or group.member is None:
        return choice.shape, None
    if flags.read(choice.spec.extra_args, at).drafts:
        fail(f"{at}.extra_args", "guesses ahead are planned on one host only.", "Leave --speculative-config out.")
    return stage_of(choice.shape, group.member.rank, group.hosts, f"{at}.distributed")


def _of_group(stage: Stage | None) -> list[str]:
    if stage is None:
        return []
    return [
        stage.told,
        "each host plans its own stage, computed and never measured; the engine keeps as many tokens as the stage with the fewest",
    ]


def on_gpus(choice: Choice, profile: vllm.Profile, gpus: tuple[Gpu, ...], calibration: Calibration) -> Candidate:
    """The model on every kind of card that it may lie on: what can't be on any of them is refused."""
    wanted = [
        gpu for gpu in gpus if not choice.spec.gpus or {gpu.uuid, str(gpu.index)} & set(choice.spec.gpus)
    ] or list(gpus)
    made: dict[tuple[Any, ...], Candidate | None] = {}
    by_uuid: dict[str, Candidate | None] = {}
    refused: FleetError | None = None
    for gpu in wanted:
        kind = (gpu.name, gpu.usable_bytes, gpu.compute_capability)
        if kind not in made:
            try:
                made[kind] = candidate(choice, profile, gpu, calibration)
            except FleetError as error:
                made[kind], refused = None, refused or error
        by_uuid[gpu.uuid] = made[kind]
    first = next((one for one in by_uuid.values() if one is not None), None)
    if first is None:
        raise refused or FleetError("vllm_stack_gpus", "no card to plan for.", "Name one.")
    return first if len(made) == 1 else replace(first, elsewhere=by_uuid)


def _check_drafts(spec: ModelSpec, shape: ModelShape, memory: flags.Memory, at: str) -> bool:
    """Refuse who guesses ahead where that can't be counted; tell whether only the weights of a head are known, as they are written."""
    if memory.ahead and memory.draft_model not in ("", spec.model) and spec.weights_bytes is None:
        fail(
            f"{at}.extra_args",
            f"the layers of {memory.draft_model} that predict ahead for {spec.model} are not counted.",
            "Leave model out of --speculative-config where the model has its own, or set weights_bytes to what both take together.",
        )
    if memory.ahead:
        if not shape.ahead_layers and spec.weights_bytes is None:
            fail(
                f"{at}.extra_args",
                f"--speculative-config asks for layers that predict ahead, and {spec.model} has none that is known.",
                "Take method ngram, name a draft model, or set weights_bytes to what all takes together.",
            )
        return False
    heads = bool(memory.draft_model) and shape.draft is None
    if heads and (spec.weights_bytes is None or not memory.reads_hidden):
        other = "set weights_bytes to what both take together" if memory.reads_hidden else "a model of the catalogue"
        fail(
            f"{at}.extra_args",
            f"nothing is known of the draft {memory.draft_model}: it is in no file of {spec.model}.",
            f"Name a folder that holds it, or {other}.",
        )
    return heads


def _length(spec: ModelSpec, shape: ModelShape, at: str) -> tuple[int, list[str]]:
    most = shape.length
    if spec.max_model_len is not None and spec.max_model_len > most.most:
        fail(
            f"{at}.max_model_len",
            f"{spec.max_model_len} is more than {spec.model} can, {most.most} by {most.key}.",
            f"Set it to {most.most} or less.",
        )
    if spec.max_model_len is not None:
        return spec.max_model_len, []
    if spec.auto_length:
        return most.most, []
    length = min(most.default, DEFAULT_LENGTH)
    return length, [
        f"max_model_len {length}: none was set, and the model could {most.most}"
    ] if length < most.most else []


def _cache_dtype(spec: ModelSpec, shape: ModelShape, profile: vllm.Profile, at: str) -> tuple[str, list[str]]:
    kv_dtype = spec.kv_cache_dtype
    if kv_dtype == "fp8_e5m2" and shape.quantization in ("fp8", "fbgemm_fp8") and not spec.quantization:
        fail(f"{at}.kv_cache_dtype", "fp8_e5m2 does not go with a checkpoint in fp8.", "Set it to fp8.")
    if kv_dtype == "auto" and shape.fp8_cache and profile.version >= CHECKPOINT_CACHE_SINCE:
        return "fp8", ["kv_cache_dtype fp8: the checkpoint brings the scales, and the engine would take it by itself"]
    return kv_dtype, []


def _ranks(spec: ModelSpec, shape: ModelShape, at: str) -> int:
    ranks = spec.tensor_parallel_size or 1
    if (shape.kv_heads % ranks and ranks % shape.kv_heads) or shape.heads % ranks:
        fail(
            f"{at}.tensor_parallel_size",
            f"{ranks} does not divide {spec.model}'s {shape.heads} heads.",
            "Take a power of two that does.",
        )
    return ranks


def _states(profile: vllm.Profile, memory: flags.Memory) -> int:
    cached = profile.version > TWO_STATES_AFTER if memory.prefix_caching is None else memory.prefix_caching
    # Each guess ahead has a state of its own.
    return (2 if cached else 1) + memory.drafts


def _load(spec: ModelSpec, shape: ModelShape, settings: EngineSettings, memory: flags.Memory, gpu: Gpu) -> Load:
    sizes = memory.capture_sizes or settings.capture_sizes
    if memory.largest_capture and not sizes:
        sizes = estimate.default_capture_sizes(memory.largest_capture) or None
    return Load(
        max_num_seqs=settings.max_num_seqs,
        max_num_batched_tokens=settings.max_num_batched_tokens,
        enforce_eager=settings.enforce_eager or memory.no_graphs,
        capture_sizes=sizes,
        tensor_parallel=settings.tensor_parallel,
        fp8_cache=settings.kv_cache_dtype.startswith("fp8"),
        compute_capability=gpu.compute_capability,
        max_model_len=settings.max_model_len,
        lora_slots=len(spec.lora_adapters),
        lora_rank=vllm.lora_rank(spec),
        online_fp8=spec.quantization == "fp8" and shape.quantization == "fp8",
        on_cpu=gpu.is_cpu,
        samples=settings.task not in tasks.POOLING,
        offloaded_bytes=memory.cpu_offload_bytes,
        ahead=memory.ahead,
        encodes=not memory.language_alone,
        drafts=memory.drafts,
        reads_hidden=memory.reads_hidden,
    )


def _batch(spec: ModelSpec, shape: ModelShape, length: int, at: str) -> tuple[int, int]:
    """Sequences and tokens of one batch; the engine refuses fewer tokens than sequences."""
    pinned = spec.max_num_batched_tokens
    seqs = spec.max_num_seqs or min(DEFAULT_SEQS, pinned or DEFAULT_SEQS)
    if shape.has_kv_cache:
        return seqs, pinned or max(DEFAULT_BATCHED_TOKENS, seqs)
    if pinned is not None and pinned < length:
        fail(
            f"{at}.max_num_batched_tokens",
            f"{pinned} is less than max_model_len, {length}, and {spec.model} reads a text in one go.",
            f"Raise it to {length} at least, or lower max_model_len.",
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


def _pinned(made: Candidate, gpu: Gpu, profile: vllm.Profile, at: str) -> int | None:
    """The KV cache that the user pinned, in bytes or as what a share of the card leaves; None where the plan decides."""
    spec = made.spec
    key = "kv_cache_memory_bytes" if spec.kv_cache_memory_bytes is not None else "gpu_memory_utilization"
    if getattr(spec, key) is None or (not made.shape.has_kv_cache and key == "gpu_memory_utilization"):
        return None
    if not made.shape.has_kv_cache:
        fail(f"{at}.{key}", f"{spec.model} has no KV cache.", "Leave it out.")
    least = made.kv_bytes(1)
    if spec.kv_cache_memory_bytes is not None:
        if not profile.exact_kv:
            fail(
                f"{at}.{key}",
                "this engine version takes no exact bytes.",
                "Use 0.10.2 or newer, or pin gpu_memory_utilization.",
            )
        if spec.kv_cache_memory_bytes < least:
            fail(
                f"{at}.{key}",
                f"{gib(spec.kv_cache_memory_bytes)} is less than one request of {made.length} tokens needs, {gib(least)}.",
                f"Raise it to {least}, or lower max_model_len.",
            )
        return spec.kv_cache_memory_bytes
    profiled = made.part("weights") + estimate.profiled_bytes(made.shape, made.load)
    given = int((spec.gpu_memory_utilization or 0) * gpu.usable_bytes) - profiled
    if given < least:
        share = math.ceil((profiled + least) / gpu.usable_bytes * 100) / 100
        remedy = f"Raise it to {share:g}" if share <= 1 else "Take a larger card"
        fail(
            f"{at}.{key}",
            f"{spec.gpu_memory_utilization:g} of {gpu.name} leaves {gib(max(0, given))} for the KV cache and one request of "
            f"{made.length} tokens needs {gib(least)}.",
            f"{remedy}, or lower max_model_len.",
        )
    return given // made.pool.block_bytes * made.pool.block_bytes
