# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters counted from config.json beside those of the classes themselves (tests/support/class_parameters.py)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape

KNOWN = json.loads((Path(__file__).parents[5] / "data" / "class_parameters.json").read_text())


# What the engine leaves out is more than a thousandth: SigLIP's last layer and its head (vLLM, models/phi4mm.py).
LOADED_IN_PART = ("phi4_multimodal (the class's own figures)",)


@pytest.mark.parametrize("entry", KNOWN, ids=lambda entry: str(entry["id"]))
def test_parameters_are_those_of_the_class(entry: dict[str, Any]) -> None:
    found = ModelShape.from_config(entry["config"])
    assert found.known
    # What is off is known to the parameter: norms, biases, places that a class keeps and a checkpoint doesn't.
    assert found.parameters() - entry["parameters"] == entry.get("off", 0)
    assert abs(entry.get("off", 0)) <= entry["parameters"] / (300 if entry["id"] in LOADED_IN_PART else 1000)


def test_many_architectures_are_held_to_their_classes() -> None:
    assert len(KNOWN) >= 60
    assert len({entry["config"]["architectures"][0] for entry in KNOWN}) >= 40
