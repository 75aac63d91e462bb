# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put the models on the cards: fixed needs first, the rest to KV caches, and a reason for every decision."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine import vllm
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine.vllm import EngineSettings
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import Gpu
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan import admission, estimate
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.candidate import (
    CPU_ENCODER_CACHE_BYTES,
    Candidate,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.load import Part
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.placement import fit_all, place
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.presets import budget_on
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.remedies import short_reason
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import MIB

# With exact KV bytes the share only feeds the engine's own check of free memory, which our gate has made before.
ADMISSION_SHARE = 0.01


def make_plan(
    candidates: Sequence[Candidate],
    gpus: Sequence[Gpu],
    preset: str,
    profile: vllm.Profile,
    ttft_objective_s: float = 0,
    remedies: Sequence[str] = (),
) -> dict[str, Any]:
    """The plan as plain data, in the shape that the memory_plan module returns; `remedies` are settings with which it is known to fit."""
    placed, reasons = place(candidates, gpus, preset)
    on = {
        gpu.uuid: [
            there
            for item in candidates
            if gpu.uuid in placed.get(item.index, ()) and (there := item.on(gpu.uuid)) is not None
        ]
        for gpu in gpus
    }
    budgets = {gpu.uuid: budget_on(preset, gpu) for gpu in gpus}
    fitted = fit_all(on, budgets)
    planned = []
    for gpu in gpus:
        here = on[gpu.uuid]
        kv, short = fitted[gpu.uuid]
        if short > 0:
            reasons.append(short_reason(here, gpu, preset, short, remedies))
        models = [
            _model_entry(item, kv[item.index], gpu, placed[item.index], profile, ttft_objective_s) for item in here
        ]
        used = sum(model["total_bytes"] for model in models)
        planned.append(
            {
                "index": gpu.index,
                "uuid": gpu.uuid,
                "name": gpu.name,
                "usable_bytes": gpu.usable_bytes,
                "budget_bytes": budgets[gpu.uuid],
                "used_bytes": used,
                "headroom_bytes": gpu.usable_bytes - used,
                "foreign_bytes": gpu.foreign_bytes,
                "models": models,
            }
        )
    return {"feasible": not reasons, "reasons": reasons, "preset": preset, "gpus": planned}


def _model_entry(
    item: Candidate,
    kv_bytes: int,
    gpu: Gpu,
    gpus: tuple[str, ...],
    profile: vllm.Profile,
    ttft_objective_s: float,
) -> dict[str, Any]:
    exact = profile.exact_kv and item.spec.gpu_memory_utilization is None
    settings, bound_notes = _bound_by_states(item, kv_bytes)
    settings, queue_notes = _bound_queue(item, settings, kv_bytes, gpu, ttft_objective_s)
    length, tokens = settings.max_model_len, settings.max_num_batched_tokens
    concurrency = item.pool.concurrency(kv_bytes, length, tokens) if kv_bytes else 0.0
    computed = sum(part.size_bytes for part in item.parts)
    listed, notes = [*item.parts], [*item.notes, *bound_notes, *queue_notes]
    if item.shape.has_kv_cache and concurrency < settings.max_num_seqs:
        notes.append(f"serves {int(concurrency)} of the {settings.max_num_seqs} full-length requests of max_num_seqs")
    if item.measured_fixed_bytes is not None:
        correction = item.measured_fixed_bytes - computed
        listed.append(Part("measured", correction, "what earlier starts on this host used besides the parts above"))
        notes.append(
            f"planned from what earlier starts on this host measured, {correction // MIB:+d} MiB against what is computed"
        )
    listed.append(Part("kv_cache", kv_bytes, f"{concurrency:.1f} requests of {length} tokens"))
    return {
        "name": item.spec.name,
        "model": item.spec.model,
        "engine": item.spec.engine,
        "task": settings.task,
        "port": item.spec.port,
        "gpu_uuids": list(gpus),
        "tensor_parallel_size": item.load.tensor_parallel,
        "max_model_len": length,
        "max_num_seqs": settings.max_num_seqs,
        "max_num_batched_tokens": tokens,
        "enforce_eager": settings.enforce_eager,
        "kv_cache_dtype": settings.kv_cache_dtype,
        "weights_bytes": item.part("weights"),
        "kv_cache_bytes": kv_bytes,
        "activation_bytes": item.part("activations") + item.part("sampler"),
        "cuda_graph_bytes": item.part("cuda_graphs"),
        "context_bytes": item.part("context"),
        "total_bytes": item.fixed_bytes + kv_bytes,
        "traffic_bytes": estimate.traffic_bytes(item.shape, item.load),
        "kv_cache_tokens": item.pool.tokens(kv_bytes, length, tokens) if kv_bytes else 0,
        "max_concurrency": round(concurrency, 2),
        "exact_kv": exact,
        "engine_args": vllm.engine_args(item.spec, profile, _sized(item, settings, kv_bytes, gpu, exact)),
        "env": vllm.environment(item.shape.quantization),
        "parts": [{"name": part.name, "bytes": part.size_bytes, "reason": part.reason} for part in listed],
        "notes": notes,
    }


def _bound_by_states(item: Candidate, kv_bytes: int) -> tuple[EngineSettings, list[str]]:
    """Settings with no more sequences than states fit: the engine refuses to start with fewer blocks than sequences."""
    if not item.pool.has_states or not kv_bytes:
        return item.settings, []
    fit = max(1, item.pool.sequences(kv_bytes))
    if fit >= item.settings.max_num_seqs:
        return item.settings, []
    note = f"max_num_seqs {fit}: states of {fit} sequences fit, and {item.settings.max_num_seqs} were asked for"
    return dataclasses.replace(item.settings, max_num_seqs=fit), [note]


def _bound_queue(
    item: Candidate, settings: EngineSettings, kv_bytes: int, gpu: Gpu, ttft_objective_s: float
) -> tuple[EngineSettings, tuple[str, ...]]:
    """Settings with what the engine takes on before it tells the next to come back."""
    length, tokens = settings.max_model_len, settings.max_num_batched_tokens
    rate = admission.prefill_rate(item.shape, gpu, item.load.tensor_parallel)
    if rate and item.load.stage:
        # A prompt goes through one stage after the other.
        rate /= item.load.stage.count
    found = admission.bounds(
        settings.max_num_seqs,
        tokens,
        item.pool.tokens(kv_bytes, length, tokens) if kv_bytes else 0,
        rate,
        ttft_objective_s,
    )
    return dataclasses.replace(settings, queued_requests=found.requests, queued_tokens=found.tokens), found.notes


def _sized(item: Candidate, settings: EngineSettings, kv_bytes: int, gpu: Gpu, exact: bool) -> EngineSettings:
    """Settings with the cache's size, in the way that this version takes it."""
    if gpu.is_cpu:
        size = kv_bytes if item.shape.has_kv_cache else CPU_ENCODER_CACHE_BYTES
        return dataclasses.replace(settings, kv_cache_bytes=size)
    if item.spec.gpu_memory_utilization is not None:
        return dataclasses.replace(settings, utilization=item.spec.gpu_memory_utilization)
    if exact:
        size_bytes = kv_bytes if item.shape.has_kv_cache else None
        return dataclasses.replace(settings, kv_cache_bytes=size_bytes, utilization=ADMISSION_SHARE)
    # The share must let the engine's own profile pass; the blocks then pin the cache whatever it measured.
    profiled = item.part("weights") + estimate.profiled_bytes(item.shape, item.load)
    share = min(1.0, round((profiled * 1.05 + kv_bytes) / gpu.usable_bytes + 0.00005, 4))
    return dataclasses.replace(settings, utilization=share, blocks=kv_bytes // item.pool.block_bytes)
