# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The measured starts of tests/data/measurements, each with what the planner says of it."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine import flags, vllm
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import drafts, encoders, tasks
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan import estimate
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.constants import MEASURED, Constants
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.load import Load, Part
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB, MIB
from tests.bench import repacking

DATA = Path(__file__).parents[1] / "data" / "measurements"
# The rows that the targets are stated for.
REFERENCE = "vllm-0.26.0-h200-memory.json"
# Starts of the release that the constants are measured with, and of another one.
SOURCES = (REFERENCE, "vllm-0.26.0-h200-memory-architectures.json", "vllm-0.26.0-h100-memory.json")
# Starts of other architectures, encoders, quantizations and batches: no constant of the fit was found with them, single laws were
# (docs/memory-model.md says which).
NEW = (
    "vllm-0.26.0-h100-memory-2026-11.json",
    "vllm-0.26.0-h100-memory-architectures.json",
    "vllm-0.26.0-h200-memory-2026-11.json",
    "vllm-0.26.0-h200-memory-encoders.json",
)
# Some of those again with one size changed, to see what an error comes from.
VARIANTS = "vllm-0.26.0-h100-memory-variants.json"
MOMENTS = ("load", "saturation", "pictures")
OTHER_RELEASE = "vllm-0.21.0-h100-memory.json"


@dataclasses.dataclass(frozen=True)
class Row:
    """One measured start; with several cards, one rank's share."""

    source: str
    model: str
    shape: ModelShape
    load: Load
    kv_bytes: int
    measured_mib: float
    ready_mib: float
    weights_gib: float
    kv_tokens: int
    extra: str
    torch_mib: dict[str, float]
    # What loading left in segments that grow, which our engines of its kind don't have; None where it is the planner's own part.
    left_bytes: int | None

    def predicted_mib(self, constants: Constants = MEASURED) -> float:
        parts = estimate.parts(self.shape, self.load, constants)
        if self.left_bytes is not None:
            parts = (*(part for part in parts if part.name != "loading"), Part("loading", self.left_bytes, ""))
        return (sum(part.size_bytes for part in parts) + self.kv_bytes) / MIB

    def error_mib(self, constants: Constants = MEASURED) -> float:
        """Above zero where the plan said more than was seen."""
        return self.predicted_mib(constants) - self.measured_mib

    @property
    def is_plain(self) -> bool:
        """Dense, not quantized, no adapters, no fp8 cache, one card: what the figures over all models are stated for."""
        bare = self.family == "dense" and self.shape.quantization is None and not self.load.fp8_cache
        return bare and not self.load.lora_slots and self.load.tensor_parallel == 1

    @property
    def family(self) -> str:
        """What its law is: "experts", "latent", or "dense" for all others."""
        return "latent" if self.shape.latent else "experts" if self.shape.experts else "dense"


def rows(sources: Sequence[str] = SOURCES, models: Sequence[str] = ()) -> list[Row]:
    """Every usable start: one that served its load; of these models alone where any are named."""
    found = []
    for source in sources:
        data = json.loads((DATA / source).read_text())
        for entry in data["rows"]:
            measured = entry["measured"] or {}
            if measured.get("process_gib_after_load") is not None and (not models or entry["model"] in models):
                found.append(_row(source, data["configs"], entry, measured))
    return found


def _row(source: str, configs: dict[str, Any], entry: dict[str, Any], measured: dict[str, Any]) -> Row:
    extra, environment = entry["extra_args"], entry.get("env", {})
    options = dict(itertools.pairwise([*extra, ""]))
    quantization, fp8 = options.get("--quantization"), options.get("--kv-cache-dtype") == "fp8"
    shape = ModelShape.from_config(configs[entry["model"]], entry["dtype"], quantization, task=entry.get("task"))
    memory = flags.read(extra, "extra_args")
    pixels = entry.get("max_pixels") if "process_gib_after_pictures" in measured else 0
    # Where no picture was sent, what an encoder takes while it runs is not in what was measured.
    found = encoders.limited(shape.encoders, pixels) if pixels != 0 else dataclasses.replace(shape.encoders, patches=0)
    shape = dataclasses.replace(shape, encoders=found)
    if memory.draft_model:
        draft = drafts.shape_of(configs[memory.draft_model], entry["dtype"], memory.draft_model, memory.method)
        shape = dataclasses.replace(shape, draft=draft)
    ranks = entry.get("tensor_parallel_size", 1)
    one_more = shape.ahead_layers if memory.ahead else 0
    pool = shape.kv_pool(1 if fp8 else shape.dtype_bytes, ranks, ahead=one_more)
    kv_bytes = entry["kv_cache_memory_bytes"] // pool.block_bytes * pool.block_bytes if shape.has_kv_cache else 0
    load = Load(
        max_num_seqs=entry["max_num_seqs"],
        max_num_batched_tokens=entry["max_num_batched_tokens"],
        enforce_eager=entry["enforce_eager"],
        tensor_parallel=ranks,
        fp8_cache=fp8,
        # Without Machete's kernels it loads as other cards do.
        compute_capability="8.9" if "VLLM_DISABLED_KERNELS" in environment else "9.0",
        max_model_len=entry["max_model_len"],
        lora_slots=int(options.get("--max-loras", 0)) if "--enable-lora" in options else 0,
        lora_rank=int(options.get("--max-lora-rank", 16)),
        online_fp8=quantization == "fp8",
        cached_tokens=pool.tokens(kv_bytes, entry["max_model_len"], entry["max_num_batched_tokens"])
        if kv_bytes
        else None,
        samples=shape.task not in tasks.POOLING,
        encodes=not memory.language_alone,
        drafts=memory.drafts,
        reads_hidden=memory.reads_hidden,
        ahead=memory.ahead,
    )
    grows = environment.get("PYTORCH_CUDA_ALLOC_CONF") != "expandable_segments:False"
    unpacks = shape.quantization in vllm.UNPACKED
    more = [*extra, *(["two cards"] if ranks > 1 else [])]
    return Row(
        source=source,
        model=entry["model"],
        shape=shape,
        load=load,
        kv_bytes=kv_bytes,
        measured_mib=1024 * max(measured.get(f"process_gib_after_{moment}") or 0 for moment in MOMENTS),
        ready_mib=1024 * measured["process_gib_when_healthy"],
        weights_gib=measured["weights_gib_logged"],
        kv_tokens=int(measured.get("kv_tokens_logged", 0)),
        extra=" ".join(more),
        torch_mib={
            name: 1024 * measured[f"torch_{name}_gib"]
            for name in ("reserved", "allocated", "allocated_peak")
            if f"torch_{name}_gib" in measured
        },
        left_bytes=repacking.left(shape, load).kept_bytes if grows and unpacks else None,
    )


def weights_error(row: Row) -> float:
    """How far the weights counted are off what the engine logged, as a share."""
    return abs(row.shape.weights_bytes() / row.load.tensor_parallel / GIB / row.weights_gib - 1)


def summary(errors: Sequence[float]) -> dict[str, float]:
    size = np.abs(np.array(errors))
    return {
        "rows": len(errors),
        "p50_mib": round(float(np.percentile(size, 50)), 1),
        "p95_mib": round(float(np.percentile(size, 95)), 1),
        "worst_under_mib": round(max(0.0, -min(errors)), 1),
        "worst_over_mib": round(max(0.0, *errors), 1),
    }
