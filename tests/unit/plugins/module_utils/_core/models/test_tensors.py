# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tensors in groups: nothing is lost, and what was kept is read back or refused with its place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.info import ModelInfo
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.tensors import (
    Tensor,
    group,
    read_groups,
    stored_bytes,
)

GOOD: dict[str, Any] = {"name": "a.*.weight", "dtype": "BF16", "shape": [4, 2], "count": 3, "layers": [[0, 2]]}


def test_tensors_that_differ_in_numbers_are_one_group() -> None:
    tensors = [
        Tensor(f"model.layers.{layer}.mlp.experts.{expert}.up.weight", "BF16", (8, 4))
        for layer in (0, 1, 2, 7)
        for expert in range(16)
    ]
    tensors.append(Tensor("lm_head.weight", "F32", (10, 4)))
    head, experts = group(tensors)
    assert (head.name, head.count, head.layers) == ("lm_head.weight", 1, ())
    assert (experts.name, experts.count) == ("model.layers.*.mlp.experts.*.up.weight", 64)
    assert experts.layers == ((0, 2), (7, 7))
    assert list(experts.layer_numbers()) == [0, 1, 2, 7]
    assert stored_bytes((head, experts)) == 10 * 4 * 4 + 64 * 32 * 2


def test_layers_of_other_sizes_stay_apart() -> None:
    found = group([Tensor(f"layers.{layer}.w", "BF16", (8 if layer < 2 else 16,)) for layer in range(4)])
    assert [(one.shape, one.layers) for one in found] == [((8,), ((0, 1),)), ((16,), ((2, 3),))]


def test_packed_types_are_counted_by_their_bits() -> None:
    assert stored_bytes(group([Tensor("w", "F4", (3, 3))])) == 5
    assert stored_bytes(group([Tensor("w", "F8_E8M0", (3, 3))])) == 9


def test_groups_survive_their_plain_form() -> None:
    found = group([Tensor(f"h.{n}.w", "I32", (2, n % 2 + 1)) for n in range(9)] + [Tensor("scale", "F32", ())])
    assert read_groups(json.loads(json.dumps([one.data() for one in found])), "tensors") == found


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"name": ""}, "[0].name"),
        ({"dtype": "FLOAT"}, "[0].dtype"),
        ({"dtype": ["BF16"]}, "[0].dtype"),
        ({"shape": [-1, 2]}, "[0].shape"),
        ({"shape": [2**39, 2**39]}, "[0].shape"),
        ({"shape": "4"}, "[0].shape"),
        ({"count": 0}, "[0].count"),
        ({"count": True}, "[0].count"),
        ({"layers": [[2, 1]]}, "[0].layers"),
        ({"layers": [[0, 2**30]]}, "[0].layers"),
    ],
)
def test_damaged_groups_are_refused_with_their_place(change: dict[str, Any], place: str) -> None:
    with pytest.raises(FleetError) as caught:
        read_groups([{**GOOD, **change}], "tensors")
    assert caught.value.where == f"tensors{place}"


@pytest.mark.parametrize("key", ["dtype", "shape", "count", "layers"])
def test_a_long_value_is_shown_by_its_first_sixty_letters(key: str) -> None:
    with pytest.raises(FleetError) as refused:
        read_groups([{**GOOD, key: "x" * 61}], "tensors")
    assert "'" + "x" * 60 + "'" in str(refused.value)


def test_info_is_read_and_what_is_not_its_form_is_refused() -> None:
    kept = {"format": 1, "id": "o/m", "config": {"hidden_size": 4}, "tensors": [GOOD], "later": {}, "disk_bytes": 9}
    info = ModelInfo.read(kept, "info")
    assert (info.id, info.config["hidden_size"], info.tensors[0].count, info.disk_bytes) == ("o/m", 4, 3, 9)
    for change, place in (
        ({"format": 2}, "info.format"),
        ({"config": []}, "info.config"),
        ({"quantization": {"hf_quant_config.json": 1}}, "info.quantization.hf_quant_config.json"),
        ({"modules": "x"}, "info.modules"),
        ({"id": 3}, "info.id"),
    ):
        with pytest.raises(FleetError) as caught:
            ModelInfo.read({**kept, **change}, "info")
        assert caught.value.where == place
