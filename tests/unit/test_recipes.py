# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every recipe fits on its card as it stands, with models whose shapes ship; what is measured says where, when and by which image."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.catalogue import CONFIGS
from ansible_collections.gpuserve.fleet.plugins.modules.memory_plan import plan

RECIPES = sorted((Path(__file__).parents[2] / "playbooks" / "recipes").glob("*.yml"))
KEYS = {"recipe_title", "recipe_measured", "vllm_stack_gpus", "vllm_stack_preset", "vllm_stack_models"}


def read(path: Path) -> dict[str, Any]:
    """Return a recipe."""
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def test_there_are_enough_for_each_size_of_card() -> None:
    sizes = Counter(path.name.partition("-")[0] for path in RECIPES)
    assert sizes["32gb"] >= 8 and sizes["24gb"] >= 4 and sizes["16gb"] >= 4
    titles = [(read(path)["recipe_title"], path.name[:4]) for path in RECIPES]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_fits_as_it_stands(path: Path) -> None:
    recipe = read(path)
    assert set(recipe) == KEYS
    assert {model["model"] for model in recipe["vllm_stack_models"]} <= set(CONFIGS)
    params = {"models": recipe["vllm_stack_models"], "gpus": recipe["vllm_stack_gpus"], "device": "cuda", "image": ""}
    planned = plan(
        {**params, "preset": recipe["vllm_stack_preset"], "engine_version": "", "calibration": {}, "proved": {}}
    )
    assert planned["feasible"], planned["reasons"]
    (gpu,) = planned["gpus"]
    size_gib = int(path.name[:2])
    assert gpu["used_bytes"] <= gpu["budget_bytes"] < size_gib * 2**30
    for model in gpu["models"]:
        assert model["kv_cache_bytes"] == 0 or model["max_concurrency"] >= 2, (model["name"], model["max_concurrency"])


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_measured_is_said_with_its_place_time_and_image(path: Path) -> None:
    for start in read(path)["recipe_measured"]:
        assert set(start) >= {"where", "when", "digest"} and start["digest"].startswith("sha256:")
