# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stage of a model's pipeline: the layers that one host of a group has, with the embedding before the first and the head behind the last.

Source: vLLM, distributed/utils.py (get_pp_indices) and the classes in model_executor/models: a tied embedding lies on both ends.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.tasks import POOLING
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.weights import VOCABULARY_STEP
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import gib, round_up


@dataclass(frozen=True)
class Stage:
    """Which of so many stages, its layers (from `first` on), and of how many they are."""

    rank: int
    count: int
    first: int
    layers: int
    of: int

    @property
    def is_first(self) -> bool:
        """Whether words become states here."""
        return self.rank == 0

    @property
    def is_last(self) -> bool:
        """Whether states become words here."""
        return self.rank == self.count - 1

    @property
    def told(self) -> str:
        """It, for people."""
        ends = [*(["the embedding"] if self.is_first else []), *(["the head"] if self.is_last else [])]
        with_ends = f", with {' and '.join(ends)}" if ends else ""
        last = self.first + self.layers - 1
        return f"stage {self.rank + 1} of {self.count}: layers {self.first} to {last} of 0 to {self.of - 1}{with_ends}"


def split(layers: int, count: int) -> tuple[int, ...]:
    """Return how many layers each stage gets: what is left over goes to the later ones, but never to the last."""
    sizes = [layers // count] * count
    for at in range(layers % count):
        sizes[count - 2 - at] += 1
    return tuple(sizes)


def stage_of(shape: ModelShape, rank: int, count: int, where: str) -> tuple[ModelShape, Stage]:
    """Return the shape of one stage; a model whose layers can't be told apart one by one is refused."""
    if not shape.is_uniform or shape.draft is not None or shape.task in POOLING or not shape.has_kv_cache:
        fail(
            where,
            "which stage takes how much is counted only of models that generate text and whose layers are all alike.",
            "Serve it on one host, with tensor_parallel_size over its cards.",
        )
    if shape.layers < count:
        fail(where, f"the model has {shape.layers} layers, and each host takes one at least.", "Take fewer hosts.")
    sizes = split(shape.layers, count)
    stage = Stage(rank, count, sum(sizes[:rank]), sizes[rank], shape.layers)
    weights = _weights_bytes(shape, stage, where)
    part = replace(
        shape,
        layers=stage.layers,
        linear_parameters=shape.linear_parameters * stage.layers // shape.layers,
        linear_bytes=shape.linear_bytes * stage.layers // shape.layers,
        keeps=tuple((one, alike // shape.layers * stage.layers) for one, alike in shape.keeps),
        experts=replace(shape.experts, layers=stage.layers) if shape.experts else None,
        given_weights_bytes=weights,
    )
    return part, stage


def _weights_bytes(shape: ModelShape, stage: Stage, where: str) -> int:
    """Return the bytes of a stage: its share of the layers, the ends that lie on it, and the tables of positions, which each has."""
    embedding = round_up(shape.vocab_size, VOCABULARY_STEP) * shape.hidden_size * shape.dtype_bytes
    tables = 0 if shape.given_weights_bytes is not None else shape.tables_bytes
    layers = shape.weights_bytes() - embedding - shape.head_bytes - tables
    if layers <= 0:
        fail(
            where,
            f"{gib(shape.weights_bytes())} of weights are less than the ends of the vocabulary take.",
            "Correct weights_bytes.",
        )
    # Without a head of its own the last stage multiplies with a copy of the embedding.
    last = shape.head_bytes or embedding
    ends = (embedding if stage.is_first else 0) + (last if stage.is_last else 0)
    return -(-layers * stage.layers // shape.layers) + ends + tables
