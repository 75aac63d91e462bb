# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""memory_plan: where a model's shape is taken from."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.catalogue import CONFIGS
from ansible_collections.gpuserve.fleet.plugins.modules import memory_plan

CONFIG = dict(CONFIGS["Qwen/Qwen2.5-3B-Instruct"])


def planned(*models: dict[str, Any], **more: Any) -> dict[str, Any]:
    params = {
        "models": [{"name": f"m{index}", "model": "o/unknown", **model} for index, model in enumerate(models)],
        "gpus": [{"name": "NVIDIA GeForce RTX 5090"}],
        "preset": "aggressive",
        "engine_version": "",
        "device": "cuda",
        "image": "",
        "calibration": {},
        "proved": {},
    }
    return memory_plan.plan({**params, **more})


def entry(plan: dict[str, Any]) -> dict[str, Any]:
    return dict(next(model for gpu in plan["gpus"] for model in gpu["models"]))


def test_info_takes_the_place_of_a_config() -> None:
    info = {"format": 1, "id": "o/unknown", "config": CONFIG}
    assert (
        entry(planned({"info": info, "max_model_len": 4096}))["weights_bytes"]
        == entry(planned({"config": CONFIG, "max_model_len": 4096}))["weights_bytes"]
    )


def test_info_of_another_format_is_refused() -> None:
    with pytest.raises(FleetError, match=r"vllm_stack_models\[0\]\.info\.format: '9' is none that this release reads"):
        planned({"info": {"format": 9, "config": CONFIG}})
