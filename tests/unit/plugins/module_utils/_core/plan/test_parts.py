# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plan says of each engine: every figure is one of its parts, and each part answers to what it is a part for."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.presets import budget_bytes
from ansible_collections.gpuserve.fleet.plugins.modules.memory_plan import plan

MIB, GIB = 1024**2, 1024**3
QWEN = {"name": "qwen", "model": "Qwen/Qwen2.5-3B-Instruct", "max_model_len": 1536, "max_num_seqs": 24}


def planned(cards: int = 1, **change: Any) -> dict[str, Any]:
    """One model on H100s."""
    gpus = [{"name": "NVIDIA H100 80GB HBM3", "uuid": f"GPU-{at}"} for at in range(cards)]
    asked = {
        "preset": "balanced",
        "engine_version": "0.26.0",
        "device": "cuda",
        "image": "",
        "calibration": {},
        "proved": {},
    }
    found = plan({**asked, "models": [{**QWEN, **change}], "gpus": gpus})
    assert found["feasible"], found["reasons"]
    assert [gpu["uuid"] for gpu in found["gpus"]] == [gpu["uuid"] for gpu in gpus]
    return dict(next(model for gpu in found["gpus"] for model in gpu["models"]))


def parts(model: dict[str, Any]) -> dict[str, int]:
    return {part["name"]: part["bytes"] for part in model["parts"]}


def test_each_figure_is_of_its_parts() -> None:
    model = planned()
    found = parts(model)
    assert list(found)[-1] == "kv_cache"
    assert {"weights", "activations", "sampler", "cuda_graphs", "context"} <= set(found)
    assert all(found[name] > 0 for name in ("weights", "activations", "sampler", "cuda_graphs", "context"))
    assert model["weights_bytes"] == found["weights"]
    assert model["activation_bytes"] == found["activations"] + found["sampler"]
    assert model["cuda_graph_bytes"] == found["cuda_graphs"]
    assert model["context_bytes"] == found["context"]
    assert model["kv_cache_bytes"] == found["kv_cache"]
    assert model["total_bytes"] == sum(found.values())
    assert (model["gpu_uuids"], model["tensor_parallel_size"], model["exact_kv"]) == (["GPU-0"], 1, True)
    assert "--kv-cache-memory-bytes" in model["engine_args"]


def test_two_ranks_hold_half_of_the_weights_each() -> None:
    one, two = planned(), planned(2, tensor_parallel_size=2)
    assert two["gpu_uuids"] == ["GPU-0", "GPU-1"]
    assert 0.5 * one["weights_bytes"] <= two["weights_bytes"] <= 0.55 * one["weights_bytes"]


@pytest.mark.parametrize(
    ("change", "part", "grows"),
    [
        ({"max_num_batched_tokens": 8192}, "activations", True),
        ({"max_num_seqs": 256}, "sampler", True),
        ({"enforce_eager": True}, "cuda_graphs", False),
        ({"extra_args": ["--cudagraph-capture-sizes", "1"]}, "cuda_graphs", False),
        ({"quantization": "fp8"}, "weights", False),
        ({"lora_adapters": [{"name": "a", "path": "x/a", "rank": 64}]}, "lora", True),
    ],
)
def test_what_moves_which_part(change: dict[str, Any], part: str, grows: bool) -> None:
    before, after = parts(planned()).get(part, 0), parts(planned(**change)).get(part, 0)
    assert (after > before) if grows else (after < before)


def test_adapters_are_counted_by_their_rank() -> None:
    def of(rank: int) -> int:
        return parts(planned(lora_adapters=[{"name": "a", "path": "x/a", "rank": rank}])).get("lora", 0)

    assert of(16) > 0
    assert abs(of(64) - 4 * of(16)) <= of(16) // 50


def test_a_share_that_is_pinned_reaches_its_flag_and_is_no_exact_cache() -> None:
    model = planned(gpu_memory_utilization=0.5)
    args = model["engine_args"]
    assert args[args.index("--gpu-memory-utilization") + 1] == "0.5"
    assert "--kv-cache-memory-bytes" not in args
    assert model["exact_kv"] is False


def test_a_cache_that_is_pinned_reaches_its_flag() -> None:
    args = planned(kv_cache_memory_bytes="3GiB")["engine_args"]
    assert abs(int(args[args.index("--kv-cache-memory-bytes") + 1]) - 3 * GIB) < 32 * MIB


@pytest.mark.parametrize(
    ("preset", "usable", "budget"),
    [
        ("conservative", 1000, 700),
        ("balanced", 1000, 850),
        ("aggressive", 1000, 960),
        # Half a GiB stays free, or a fiftieth of a large card.
        ("auto", 24 * GIB, 24 * GIB - 512 * MIB),
        ("auto", 25600 * MIB, 25600 * MIB - 512 * MIB),
        ("auto", 51200 * MIB, 51200 * MIB - 1024 * MIB),
        ("auto", 100 * MIB, 0),
    ],
)
def test_what_a_preset_leaves(preset: str, usable: int, budget: int) -> None:
    assert budget_bytes(preset, usable) == budget
