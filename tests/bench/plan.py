# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Predicted beside measured: the planner's error over every measured start, and what plans of many hosts take.

python -m tests.bench.plan            the figures, the last line as JSON
python -m tests.bench.plan --markdown the table of docs/memory-model.md
"""

from __future__ import annotations

import argparse
import functools
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine import vllm
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import parse_gpus
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.architectures import ARCHITECTURES
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.catalogue import CONFIGS
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.calibration import Calibration
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.candidate import Choice, candidate
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.planner import make_plan
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import parse_models
from tests.bench.measured import NEW, OTHER_RELEASE, REFERENCE, Row, rows, summary, weights_error
from tests.bench.memory_fit import leave_one_model_out

GUIDE = [
    {"name": "tinyllama", "model": "TinyLlama/TinyLlama-1.1B-Chat-v1.0", "max_model_len": 1024, "max_num_seqs": 32},
    {"name": "qwen", "model": "Qwen/Qwen2.5-3B-Instruct", "max_model_len": 1536, "max_num_seqs": 24},
    {"name": "yi", "model": "01-ai/Yi-6B-Chat", "max_model_len": 2048, "max_num_seqs": 16},
    {"name": "small", "model": "Qwen/Qwen2.5-0.5B-Instruct", "max_model_len": 2048, "max_num_seqs": 16},
]


def plan_host(gpus: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One host's plan, from what a user writes to flags."""
    cards, profile = parse_gpus(gpus), vllm.profile("0.33.0")
    found = [
        candidate(Choice(spec, shape_of(spec.model), index), profile, cards[0], Calibration())
        for index, spec in enumerate(parse_models(GUIDE))
    ]
    return make_plan(found, cards, "balanced", profile)


@functools.cache
def shape_of(model: str) -> ModelShape:
    """A model's shape, read once for all hosts."""
    return ModelShape.from_config(CONFIGS[model])


def seconds_for(hosts: int, plan: Callable[[Sequence[dict[str, Any]]], Any] = plan_host) -> float:
    began = time.perf_counter()
    for host in range(hosts):
        plan([{"name": "NVIDIA GeForce RTX 5090", "uuid": f"GPU-{host}"}])
    return time.perf_counter() - began


def markdown(data: Sequence[Row]) -> str:
    """The table of docs/memory-model.md."""
    lines = [
        "| model | card | sequences | batched tokens | graphs | more | predicted MiB | measured MiB | error MiB |",
        "|---|---|---:|---:|---|---|---:|---:|---:|",
    ]
    lines += [
        f"| {row.model} | {row.source.split('-')[2].upper()} | {row.load.max_num_seqs} | {row.load.max_num_batched_tokens} | "
        f"{'no' if row.load.enforce_eager else 'yes'} | {row.extra} | {row.predicted_mib():.0f} | {row.measured_mib:.0f} | "
        f"{row.error_mib():+.0f} |"
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
        ("all rows", data),
        ("dense", [row for row in data if row.is_plain]),
        ("experts and latents", [row for row in data if row.family != "dense"]),
        ("all others", [row for row in data if row.family == "dense" and not row.is_plain]),
        ("another release", rows([OTHER_RELEASE])),
        ("new architectures", rows(NEW)),
    ):
        print(f"{name:20s}", summary([row.error_mib() for row in chosen]))
    weights = [weights_error(row) for row in data if not row.load.lora_slots]
    print(
        f"{'weights':20s} worst error {100 * max(weights):.2f} % of what the engine logged, median {100 * np.median(weights):.2f} %"
    )
    left_out = summary(leave_one_model_out(data))
    print(f"{'leave one model out':20s}", left_out)
    seconds = {hosts: seconds_for(hosts) for hosts in (100, 1000, 10000)}
    print(f"{'plans of 4 models':20s}", {hosts: f"{value:.2f} s" for hosts, value in seconds.items()})
    found = summary([row.error_mib() for row in reference])
    line = {"bench": "plan", **{key: found[key] for key in ("rows", "p50_mib", "p95_mib", "worst_under_mib")}}
    line |= {"leave_one_model_out_p95_mib": left_out["p95_mib"], "hosts_1000_s": round(seconds[1000], 2)}
    new = summary([row.error_mib() for row in rows(NEW)])
    line |= {"architectures": len(ARCHITECTURES), "new_rows": new["rows"]}
    line |= {"new_p95_mib": new["p95_mib"], "new_worst_under_mib": new["worst_under_mib"]}
    print(json.dumps(line))


if __name__ == "__main__":
    main()
