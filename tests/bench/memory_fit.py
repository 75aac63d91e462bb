# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the memory model's constants from the measured starts, all of them or all but one model's.

    python -m tests.bench.memory_fit      the constants, beside those of memory_constants.py

Each figure is taken where it can be seen alone: what the driver counts is NVML less PyTorch's allocator; tensors that stay are what
the allocator has in use when nothing runs; what it keeps beyond the tensors alive at once is the rest. The law of those tensors is not
fitted (memory.tensors_alive).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan import estimate
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.constants import MEASURED, Constants
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import MIB
from tests.bench.measured import VARIANTS, Row, rows

NOTHING = Constants(**{field.name: 0.0 for field in dataclasses.fields(Constants)})
# Rows whose batches were not filled should not pull at the rest: beyond this many MiB an error counts by its size, not by its square.
OUTLIER_MIB = 40.0
# Starts whose attention is wider than their hidden size; the published models of that kind are not fitted to.
WIDE_QUERIES = ("seed-8l-i13824", "qwen3-32b-8l")


def fit(data: Sequence[Row]) -> Constants:
    """Constants by least squares, one group after the other."""
    found = NOTHING
    # What loading AWQ leaves has a law of its own (tests/bench/repacking.py).
    data = [row for row in data if row.left_bytes is None]
    single = [row for row in data if row.load.tensor_parallel == 1 and not row.load.lora_slots]
    seen = [row for row in single if row.torch_mib]
    dense = [row for row in single if row.family == "dense"]

    found = _solve(
        found, seen, ("context_bytes", "graph_layer_bytes"), lambda row: row.measured_mib - row.torch_mib["reserved"]
    )
    found = _solve(
        found,
        [row for row in seen if row.family == "dense"],
        ("persistent_bytes", "sampler_floats", "graph_persistent_bytes", "graph_persistent_quantized_bytes"),
        lambda row: row.torch_mib["allocated"] - _given(row),
    )
    allocator = [field.name for field in dataclasses.fields(Constants) if field.name.startswith("allocator")]
    allocator.remove("allocator_queries")
    found = _solve(found, dense, allocator, _rest(found))
    found = _solve(found, rows([VARIANTS], WIDE_QUERIES), ["allocator_queries"], _rest(found))
    experts = [row for row in single if row.family == "experts"]
    found = _solve(found, experts, ("expert_hidden", "expert_sampler_floats"), _rest(found))
    latent = [row for row in single if row.family == "latent"]
    found = _solve_latent(found, latent)
    found = _solve_traffic(found, dense, "traffic")
    found = _solve_traffic(found, experts, "expert_traffic")
    ranks = [row for row in data if row.load.tensor_parallel > 1]
    reserved = (
        ("tensor_parallel_bytes",),
        lambda row: row.measured_mib - row.torch_mib["reserved"] - found.context_bytes / MIB,
    )
    found = _solve(found, ranks, *reserved)
    return _solve(found, ranks, ("tensor_parallel_hidden",), _rest(found))


def leave_one_model_out(data: Sequence[Row]) -> list[float]:
    """Errors of the plain rows of each model with constants found from the other models alone."""
    errors = []
    for model in sorted({row.model for row in data if row.is_plain}):
        constants = fit([row for row in data if row.model != model])
        errors += [row.error_mib(constants) for row in data if row.model == model and row.is_plain]
    return errors


def _given(row: Row) -> float:
    """MiB that are known without a constant: what the engine logged for its weights, and the cache it was given."""
    copies = (row.shape.weights_bytes() / MIB - 1024 * row.weights_gib) if row.family == "latent" else 0
    return 1024 * row.weights_gib + copies + row.kv_bytes / MIB


def _rest(found: Constants) -> Callable[[Row], float]:
    """What the parts known by now leave unexplained."""
    return lambda row: -row.error_mib(found)


def _unit(name: str) -> float:
    return float(MIB) if name.endswith("_bytes") else 1.0


def _solve(found: Constants, data: Sequence[Row], names: Sequence[str], target: Callable[[Row], float]) -> Constants:
    """Add the constants `names`, such that what they stand for comes to `target` MiB; the parts are linear in them."""
    if not data:
        return found
    without = np.array([row.predicted_mib(NOTHING) for row in data])
    units = [dataclasses.replace(NOTHING, **{name: _unit(name)}) for name in names]
    features = np.array([[row.predicted_mib(unit) for unit in units] for row in data]) - without[:, None]
    wanted = np.array([target(row) for row in data])
    weights = np.ones(len(data))
    for _round in range(30):
        root = np.sqrt(weights)
        solved = np.linalg.lstsq(features * root[:, None], wanted * root, rcond=None)[0]
        weights = 1 / np.maximum(1.0, np.abs(features @ solved - wanted) / OUTLIER_MIB)
    return dataclasses.replace(
        found, **{name: float(value) * _unit(name) for name, value in zip(names, solved, strict=True)}
    )


def _solve_traffic(found: Constants, data: Sequence[Row], name: str) -> Constants:
    """What came after the engine was ready, as a share of the activations."""
    grown = [row for row in data if not row.load.enforce_eager]
    if not grown:
        return found
    one = dataclasses.replace(found, **{name: 1.0})
    activations = np.array([estimate.traffic_bytes(row.shape, row.load, one) / MIB for row in grown])
    growth = np.array([row.measured_mib - row.ready_mib for row in grown])
    return dataclasses.replace(found, **{name: float(activations @ growth / (activations @ activations))})


def _solve_latent(found: Constants, data: Sequence[Row]) -> Constants:
    """The one law that is not linear: a layer's tensors and unfolded latents take turns. The best factor on a grid, by least deviations."""
    if not data:
        return found
    best, least = found, np.inf
    for factor in np.arange(1.0, 3.0, 0.01):
        tried = dataclasses.replace(found, latent_tensors=float(factor))
        rest = np.array([-row.error_mib(tried) for row in data])
        constant = float(np.median(rest))
        if np.abs(rest - constant).sum() < least:
            best, least = dataclasses.replace(tried, latent_bytes=constant * MIB), np.abs(rest - constant).sum()
    return best


def main() -> None:
    found = fit(rows())
    for field in dataclasses.fields(Constants):
        now, then = getattr(found, field.name) / _unit(field.name), getattr(MEASURED, field.name) / _unit(field.name)
        print(f"{field.name:34s} {now:9.3f}   {then:9.3f}")


if __name__ == "__main__":
    main()
