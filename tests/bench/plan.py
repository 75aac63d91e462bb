# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Predicted beside measured: the planner's error over every measured start, with nothing of the model fitted here but a copy.

python -m tests.bench.plan            the figures, the last line as JSON
python -m tests.bench.plan --markdown the table of docs/memory-model.md
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import memory
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.calibration import Calibration
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engines import vllm
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import parse_gpus
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.hub_catalogue import CONFIGS
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.model import ModelShape
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.planner import candidate, make_plan
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import parse_models
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB, MIB

DATA = Path(__file__).parents[1] / "data" / "measurements"
# The rows that the targets are stated for, and later ones of other architectures.
REFERENCE = "vllm-0.26.0-h200-memory.json"
ARCHITECTURES = "vllm-0.26.0-h200-memory-architectures.json"


@dataclasses.dataclass(frozen=True)
class Row:
    """One measured start."""

    source: str
    model: str
    shape: ModelShape
    load: memory.Load
    kv_bytes: int
    measured_mib: float
    weights_gib: float
    kv_tokens: int
    extra: str

    @property
    def predicted_mib(self) -> float:
        return (sum(part.size_bytes for part in memory.parts(self.shape, self.load)) + self.kv_bytes) / MIB

    @property
    def error_mib(self) -> float:
        """Above zero where the plan said more than was seen."""
        return self.predicted_mib - self.measured_mib


def rows() -> list[Row]:
    """Every usable start: one that served its load."""
    found = []
    for source in (REFERENCE, ARCHITECTURES):
        data = json.loads((DATA / source).read_text())
        for entry in data["rows"]:
            measured = entry["measured"] or {}
            if measured.get("process_gib_after_load") is None:
                continue
            found.append(_row(source, data["configs"][entry["model"]], entry, measured))
    return found


def _row(source: str, config: dict[str, Any], entry: dict[str, Any], measured: dict[str, Any]) -> Row:
    extra = entry["extra_args"]
    options = dict(itertools.pairwise([*extra, ""]))
    quantization, fp8 = options.get("--quantization"), options.get("--kv-cache-dtype") == "fp8"
    shape = ModelShape.from_config(config, entry["dtype"], quantization)
    load = memory.Load(
        max_num_seqs=entry["max_num_seqs"],
        max_num_batched_tokens=entry["max_num_batched_tokens"],
        enforce_eager=entry["enforce_eager"],
        fp8_cache=fp8,
        compute_capability="9.0",
        max_model_len=entry["max_model_len"],
        lora_slots=int(options.get("--max-loras", 0)) if "--enable-lora" in options else 0,
        lora_rank=int(options.get("--max-lora-rank", 16)),
        online_fp8=quantization == "fp8",
    )
    block = shape.kv_pool(1 if fp8 else shape.dtype_bytes).block_bytes
    return Row(
        source=source,
        model=entry["model"],
        shape=shape,
        load=load,
        kv_bytes=entry["kv_cache_memory_bytes"] // block * block,
        measured_mib=1024 * max(measured["process_gib_after_load"], measured.get("process_gib_after_saturation") or 0),
        weights_gib=measured["weights_gib_logged"],
        kv_tokens=measured["kv_tokens_logged"],
        extra=" ".join(extra),
    )


def is_dense(row: Row) -> bool:
    """The rows that the common constants were fitted on: no experts, no quantization, no adapters, no fp8 cache."""
    plain = row.shape.experts is None and row.shape.quantization is None
    return plain and not row.load.lora_slots and not row.load.fp8_cache


def _features(row: Row) -> list[float]:
    """The terms of memory.parts whose constants were fitted, in MiB and without those constants."""
    tokens, width, load = row.load.max_num_batched_tokens, row.shape.dtype_bytes, row.load
    graphs = memory.graph_count(load)
    return [
        1.0,
        tokens * width * row.shape.hidden_size / MIB,
        tokens * width * row.shape.intermediate_size / MIB,
        load.max_num_seqs * row.shape.vocab_size * 4 / MIB,
        row.shape.vocab_size * 4 * 64 / MIB,
        0.0 if load.enforce_eager else 1.0,
        float(graphs * row.shape.layers),
    ]


def leave_one_model_out(data: Sequence[Row]) -> list[float]:
    """Errors of each model's rows with constants fitted on the others alone."""
    dense = [row for row in data if is_dense(row)]
    errors = []
    for model in sorted({row.model for row in dense}):
        kept = [row for row in dense if row.model != model]
        rest = [row.measured_mib - (row.kv_bytes + row.shape.weights_bytes()) / MIB for row in kept]
        constants = np.linalg.lstsq(np.array([_features(row) for row in kept]), np.array(rest), rcond=None)[0]
        for row in dense:
            if row.model == model:
                fixed = (row.kv_bytes + row.shape.weights_bytes()) / MIB
                errors.append(float(np.dot(constants, _features(row))) + fixed - row.measured_mib)
    return errors


def summary(errors: Sequence[float]) -> dict[str, float]:
    size = np.abs(np.array(errors))
    return {
        "rows": len(errors),
        "p50_mib": round(float(np.percentile(size, 50)), 1),
        "p95_mib": round(float(np.percentile(size, 95)), 1),
        "worst_under_mib": round(max(0.0, -min(errors)), 1),
        "worst_over_mib": round(max(0.0, *errors), 1),
    }


GUIDE = [
    {"name": "tinyllama", "model": "TinyLlama/TinyLlama-1.1B-Chat-v1.0", "max_model_len": 1024, "max_num_seqs": 32},
    {"name": "qwen", "model": "Qwen/Qwen2.5-3B-Instruct", "max_model_len": 1536, "max_num_seqs": 24},
    {"name": "yi", "model": "01-ai/Yi-6B-Chat", "max_model_len": 2048, "max_num_seqs": 16},
    {"name": "small", "model": "Qwen/Qwen2.5-0.5B-Instruct", "max_model_len": 2048, "max_num_seqs": 16},
]


def plan_host(gpus: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One host's plan, from what a user writes to flags."""
    cards, version = parse_gpus(gpus), vllm.profile("0.33.0")
    found = [
        candidate(index, spec, ModelShape.from_config(CONFIGS[spec.model]), version, cards[0], Calibration())
        for index, spec in enumerate(parse_models(GUIDE))
    ]
    return make_plan(found, cards, "balanced", version)


def seconds_for(hosts: int, plan: Callable[[Sequence[dict[str, Any]]], Any] = plan_host) -> float:
    began = time.perf_counter()
    for host in range(hosts):
        plan([{"name": "NVIDIA GeForce RTX 5090", "uuid": f"GPU-{host}"}])
    return time.perf_counter() - began


def markdown(data: Sequence[Row]) -> str:
    """The table of docs/memory-model.md."""
    lines = [
        "| model | sequences | batched tokens | graphs | more | predicted MiB | measured MiB | error MiB |",
        "|---|---:|---:|---|---|---:|---:|---:|",
    ]
    lines += [
        f"| {row.model} | {row.load.max_num_seqs} | {row.load.max_num_batched_tokens} | "
        f"{'no' if row.load.enforce_eager else 'yes'} | {row.extra} | {row.predicted_mib:.0f} | {row.measured_mib:.0f} | "
        f"{row.error_mib:+.0f} |"
        for row in data
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    data = rows()
    if options.markdown:
        print(markdown(data))
        return
    reference = [row for row in data if row.source == REFERENCE]
    for name, chosen in (
        ("reference rows", reference),
        ("other architectures", [r for r in data if r not in reference]),
    ):
        print(f"{name:20s}", summary([row.error_mib for row in chosen]))
    weights = [abs(row.shape.weights_bytes() / GIB / row.weights_gib - 1) for row in data if not row.load.lora_slots]
    print(
        f"{'weights':20s} worst error {100 * max(weights):.2f} % of what the engine logged, median {100 * np.median(weights):.2f} %"
    )
    left_out = summary(leave_one_model_out(data))
    print(f"{'leave one model out':20s}", left_out)
    seconds = {hosts: seconds_for(hosts) for hosts in (100, 1000, 10000)}
    print(f"{'plans of 4 models':20s}", {hosts: f"{value:.2f} s" for hosts, value in seconds.items()})
    found = summary([row.error_mib for row in reference])
    line = {"bench": "plan", **{key: found[key] for key in ("rows", "p50_mib", "p95_mib", "worst_under_mib")}}
    line |= {"leave_one_model_out_p95_mib": left_out["p95_mib"], "hosts_1000_s": round(seconds[1000], 2)}
    print(json.dumps(line))


if __name__ == "__main__":
    main()
