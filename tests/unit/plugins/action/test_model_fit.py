# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Would it fit: each figure of the screen is one of a plan, and what can't be loaded or read is not named."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.action.model_fit import Fit
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.catalogue import CONFIGS
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import gib
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.client import HubError, Repository, Trouble
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.kept import Kept
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.lookup import Lookup
from ansible_collections.gpuserve.fleet.plugins.modules.memory_plan import plan
from ansible_collections.gpuserve.fleet.tests.support.hub.repositories import safetensors

LARGE = "Qwen/Qwen3-32B"
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}


@dataclass
class FakeHub:
    """A hub with a quantized checkpoint that can be read, and others that can't."""

    is_away: bool = False
    described: list[str] = field(default_factory=list)

    def describe(self, model: str, revision: str) -> Repository:
        if self.is_away:
            raise HubError(Trouble.UNREACHABLE, "http://hub")
        self.described.append(model)
        if model == "acme/private-AWQ":
            raise HubError(Trouble.GATED)
        if model not in (LARGE, "Qwen/Qwen3-32B-AWQ"):
            raise HubError(Trouble.MISSING)
        files = {"config.json": 1000, "model.safetensors": len(self.weights())}
        return Repository(model, "9216db57" + "0" * 32, False, False, "apache-2.0", files)

    def read(self, model: str, commit: str, path: str, most: int) -> bytes:
        if path != "config.json":
            return self.weights()
        more = {"quantization_config": AWQ} if model.endswith("AWQ") else {}
        return json.dumps({**CONFIGS[LARGE], "model_type": "qwen3", **more}).encode()

    @staticmethod
    def weights() -> bytes:
        return safetensors({})

    def search(self, text: str = "", author: str = "", quantized_from: str = "") -> list[str]:
        if self.is_away:
            raise HubError(Trouble.UNREACHABLE, "http://hub")
        return ["acme/Qwen3-32B-GGUF", "acme/private-AWQ", "Qwen/Qwen3-32B-AWQ"] if quantized_from == LARGE else []


def answer(model: str, gpu: str, hub: FakeHub) -> dict[str, Any]:
    """Answer without a folder of what is kept."""
    params = {"model": model, "revision": "main", "gpu": gpu, "engine_version": ""}
    return Fit(params, Lookup(Kept(), lambda: hub)).answer()


def planned(preset: str, **entry: Any) -> dict[str, Any]:
    """Return what the planner says of one model on a 5090."""
    params = {
        "models": [{"name": "model", **entry}],
        "gpus": [{"name": "RTX 5090"}],
        "preset": preset,
        "device": "cuda",
    }
    found = plan({**params, "engine_version": "", "image": "", "calibration": {}, "proved": {}})
    return dict(found["gpus"][0]["models"][0]) if found["feasible"] else {}


def test_one_that_fits_is_told_by_preset() -> None:
    found = answer("Qwen/Qwen3-8B", "RTX 5090", FakeHub(is_away=True))
    (row,) = found["rows"]
    assert found["fits"] and "fits with preset balanced, 8,192 tokens a request" in found["text"]
    balanced = planned("balanced", model="Qwen/Qwen3-8B", max_model_len=8192)
    assert row["weights_bytes"] == balanced["weights_bytes"] and row["kv_cache_bytes"] == balanced["kv_cache_bytes"]
    assert row["requests"]["preset balanced"] == int(balanced["max_concurrency"])
    fp8 = planned("balanced", model="Qwen/Qwen3-8B", max_model_len=8192, kv_cache_dtype="fp8")
    assert row["requests"]["fp8 cache"] == int(fp8["max_concurrency"])
    assert gib(balanced["kv_cache_bytes"]) in found["text"]


def test_one_that_does_not_fit_names_what_does_and_nothing_that_can_t_be_read() -> None:
    hub = FakeHub()
    found = answer(LARGE, "RTX 5090", hub)
    text = found["text"]
    assert not found["fits"] and text.startswith(f"{LARGE} @ 9216db57   ") and "apache-2.0, no token needed" in text
    assert "does not fit: needs " in text and "GGUF" not in text and "private" not in text
    assert "acme/Qwen3-32B-GGUF" not in hub.described
    labels = [row["label"] for row in found["rows"]]
    assert labels == ["Qwen/Qwen3-32B-AWQ", "4 x NVIDIA GeForce RTX 5090"]
    for row in found["rows"]:
        assert row["requests"] and all(count >= 1 for count in row["requests"].values())


def test_without_a_hub_smaller_ones_of_the_family_and_more_cards_are_named() -> None:
    found = answer(LARGE, "RTX 5090", FakeHub(is_away=True))
    labels = [row["label"] for row in found["rows"]]
    assert f"{LARGE}   by the shipped catalogue" in found["text"]
    assert "Qwen/Qwen3-14B" in labels and labels[-1] == "4 x NVIDIA GeForce RTX 5090"


def test_an_embedding_model_has_no_cache() -> None:
    found = answer("BAAI/bge-small-en-v1.5", "L4", FakeHub(is_away=True))
    assert found["fits"] and len(found["rows"]) == 1 and found["rows"][0]["kv_cache_bytes"] == 0


@pytest.mark.parametrize(
    ("model", "gpu", "fact"),
    [
        ("acme/nobody-knows", "RTX 5090", "nothing is kept of acme/nobody-knows"),
        ("/srv/not-here", "RTX 5090", "there is no folder"),
        (LARGE, "RTX 9999", "no card"),
    ],
)
def test_what_can_t_be_told_is_one_sentence(model: str, gpu: str, fact: str) -> None:
    with pytest.raises(FleetError, match=fact):
        answer(model, gpu, FakeHub(is_away=True))
