# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The screen that says what fits, over a planner that is a table: which length, which presets, and what is said of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan import fit
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.fit import Row

GIB = 1024**3
GPU = {"name": "NVIDIA L4", "usable_bytes": 22 * GIB}


class Planner:
    """Plans what is at most so long; a preset with a number has room for as many requests."""

    def __init__(self, longest: int, own: int = 40960, **requests: int) -> None:
        self.longest, self.own, self.requests = longest, own, requests
        self.asked: list[tuple[int | None, int | None, int]] = []

    def __call__(self, entry: Mapping[str, Any], cards: int, preset: str) -> dict[str, Any]:
        self.asked.append((entry.get("max_model_len"), entry.get("tensor_parallel_size"), cards))
        length = int(entry.get("max_model_len") or self.own)
        if length > self.own:
            raise FleetError("max_model_len", "longer than the model can.", "Lower it.")
        requests = self.requests.get(preset, 0) * (2 if entry.get("kv_cache_dtype") == "fp8" else 1)
        model = {
            "max_model_len": length,
            "weights_bytes": 3 * GIB,
            "kv_cache_bytes": 2 * GIB,
            "max_concurrency": requests + 0.9,
            "max_num_seqs": 99,
        }
        return {"feasible": length <= self.longest and requests > 0, "gpus": [{"models": []}, {"models": [model]}]}


def test_a_model_is_told_at_the_length_compared_with_every_preset_that_fits() -> None:
    plan = Planner(10**6, balanced=4, aggressive=6)
    assert fit.rows_of({"model": "a/b"}, plan) == [
        Row("a/b", fit.LENGTH, 3 * GIB, 2 * GIB, {"preset balanced": 4, "preset aggressive": 6, "fp8 cache": 8})
    ]
    assert {cards for _length, _ranks, cards in plan.asked} == {1}
    assert {ranks for _length, ranks, _cards in plan.asked} == {None}


def test_a_model_over_two_cards_is_planned_over_two() -> None:
    plan = Planner(10**6, balanced=4)
    (row,) = fit.rows_of({"model": "a/b"}, plan, "two of them", 2)
    assert row.label == "two of them"
    assert {(ranks, cards) for _length, ranks, cards in plan.asked} == {(2, 2)}


def test_one_that_can_not_be_so_long_is_told_at_its_own_length() -> None:
    (row,) = fit.rows_of({"model": "a/b"}, Planner(10**6, own=2048, balanced=4))
    assert (row.length, row.is_cut) == (2048, False)


def test_one_that_has_no_room_for_it_is_told_at_the_longest_that_fits() -> None:
    longest = fit.SHORTER[1]
    (row,) = fit.rows_of({"model": "a/b"}, Planner(longest, balanced=4))
    assert (row.length, row.is_cut) == (longest, True)


def test_one_that_fits_in_no_way_has_no_row() -> None:
    assert fit.rows_of({"model": "a/b"}, Planner(0, balanced=4)) == []


def test_an_engine_without_a_cache_takes_as_many_as_it_is_told() -> None:
    assert fit._requests({"kv_cache_bytes": 0, "max_num_seqs": 99, "max_concurrency": 0.0}) == 99
    assert fit._requests({"kv_cache_bytes": 1, "max_num_seqs": 99, "max_concurrency": 7.9}) == 7


def test_a_row_as_data() -> None:
    assert Row("a/b", 8192, 1, 2, {"preset balanced": 3}).data() == {
        "label": "a/b",
        "max_model_len": 8192,
        "weights_bytes": 1,
        "kv_cache_bytes": 2,
        "requests": {"preset balanced": 3},
    }


@pytest.mark.parametrize(
    ("model", "known", "found"),
    [
        (
            "Qwen/Qwen3-32B",
            [
                "Qwen/Qwen3-8B",
                "Qwen/Qwen3-14B",
                "Qwen/Qwen3-235B",
                "Qwen/Qwen3-32B",
                "Qwen/Qwen3-32B-AWQ",
                "Other/X-8B",
            ],
            ["Qwen/Qwen3-32B-AWQ", "Qwen/Qwen3-14B", "Qwen/Qwen3-8B"],
        ),
        ("Qwen/Qwen3-8B", ["qwen/qwen3-4B", "qwen/qwen3-4B"], ["qwen/qwen3-4B"]),
        ("acme/nameless", ["acme/other-8B"], []),
    ],
)
def test_other_sizes_of_a_family(model: str, known: list[str], found: list[str]) -> None:
    assert fit.related(model, known) == found


def test_what_is_said_of_a_model() -> None:
    info = {
        "commit": "9216db57aaaa",
        "disk_bytes": 6 * GIB,
        "licence": "apache-2.0",
        "gated": True,
        "config": {"torch_dtype": "torch.bfloat16"},
    }
    rows = [
        Row("a/b", 8192, 3 * GIB, 2 * GIB, {"preset balanced": 4, "fp8 cache": 8}),
        Row("longer/name", 512, GIB, 0, {"preset balanced": 9}),
    ]
    assert fit.screen(info, {"model": "a/b"}, GPU, "it fits.", rows).splitlines() == [
        "a/b @ 9216db57   6.00 GiB on the disk in bfloat16, apache-2.0, a token of somebody who accepted its terms is needed",
        "  NVIDIA L4 (22.00 GiB usable): it fits.",
        "",
        "  What fits       weights    KV cache   requests at once",
        "  a/b            3.00 GiB    2.00 GiB   of 8,192 tokens: preset balanced: 4, fp8 cache: 8",
        "  longer/name    1.00 GiB           -   of 512 tokens: preset balanced: 9",
    ]


@pytest.mark.parametrize(
    ("info", "line"),
    [
        ({}, "a/b   by the shipped catalogue"),
        ({"id": "a/b"}, "a/b   of a size that nobody has said, no token needed"),
        (
            {"config": {"dtype": "float16", "torch_dtype": "x"}},
            "a/b   of a size that nobody has said in float16, no token needed",
        ),
        (
            {"config": {"text_config": {"torch_dtype": "bfloat16"}}},
            "a/b   of a size that nobody has said in bfloat16, no token needed",
        ),
    ],
)
def test_the_first_line(info: dict[str, Any], line: str) -> None:
    assert fit.screen(info, {"model": "a/b"}, GPU, "no.", []).splitlines() == [
        line,
        "  NVIDIA L4 (22.00 GiB usable): no.",
    ]
