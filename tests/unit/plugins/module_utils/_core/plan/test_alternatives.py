# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which model of a plan gives way to another checkpoint, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan import alternatives
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB

PLAN = {
    "gpus": [
        {"models": [{"name": "small", "weights_bytes": 3}, {"name": "large", "weights_bytes": 9}]},
        {"models": [{"name": "equal", "weights_bytes": 9}]},
    ]
}
MODELS: list[dict[str, Any]] = [{"name": name, "model": f"hub/{name}"} for name in ("small", "large", "equal")]


@pytest.mark.parametrize(
    ("large", "place"),
    [
        # Of two that are as large the first.
        ({}, 1),
        # What lies on the host, or is said more of than its id, is no checkpoint of the hub as it is.
        ({"model": "/srv/large"}, 2),
        ({"quantization": "awq"}, 2),
        ({"weights_bytes": 7}, 2),
        ({"config": {"hidden_size": 1}}, 2),
        ({"config_path": "/srv/config.json"}, 2),
        ({"quantization": None}, 1),
    ],
)
def test_the_largest_model_of_the_hub_gives_way(large: dict[str, Any], place: int) -> None:
    assert alternatives.replaceable([MODELS[0], {**MODELS[1], **large}, MODELS[2]], PLAN) == place


def test_where_none_is_of_the_hub_none_gives_way() -> None:
    assert alternatives.replaceable([], PLAN) is None
    assert alternatives.replaceable([{"name": "small", "model": "/srv/small"}], PLAN) is None
    # One that no card holds weighs nothing, and is there all the same.
    assert alternatives.replaceable([{"name": "elsewhere", "model": "hub/elsewhere"}], PLAN) == 0


def test_only_the_one_in_its_place_is_another_checkpoint() -> None:
    info = {"id": "hub/large-AWQ", "commit": "c0ffee"}
    changed = alternatives.with_checkpoint(MODELS, 1, info)
    assert changed[1] == {"name": "large", "model": "hub/large-AWQ", "revision": "c0ffee", "info": info}
    assert [changed[0], changed[2]] == [MODELS[0], MODELS[2]]


def test_three_of_them_are_said_with_their_sizes_and_the_preset_that_they_need() -> None:
    found = [
        alternatives.Fitting(f"hub/{name}", size * GIB, preset)
        for name, size, preset in (("a", 4, "balanced"), ("b", 5, "aggressive"), ("c", 6, "balanced"), ("d", 7, "auto"))
    ]
    assert alternatives.sentence("hub/large", found, "balanced") == (
        "Quantized checkpoints of hub/large that fit: hub/a (4.00 GiB), "
        "hub/b (5.00 GiB, with vllm_stack_preset: aggressive), hub/c (6.00 GiB)."
    )
