# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""memory_plan: who guesses ahead of a model, counted with it or refused in a sentence that says what is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.catalogue import CONFIGS
from ansible_collections.gpuserve.fleet.plugins.modules import memory_plan

MODEL, GIB = "Qwen/Qwen2.5-7B-Instruct", 2**30
HIDDEN, MLP, KEYS = 3584, 18944, 512
# One layer of the model's own kind, and one matrix of a draft's vocabulary.
LAYER = 2 * HIDDEN * HIDDEN + 2 * HIDDEN * KEYS + 3 * HIDDEN * MLP
HEAD: dict[str, Any] = {
    **{"model_type": "llama", "torch_dtype": "bfloat16", "hidden_size": HIDDEN, "intermediate_size": MLP},
    **{"num_hidden_layers": 1, "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152064},
    **{"max_position_embeddings": 32768},
}


def planned(said: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    extra = ["--speculative-config", json.dumps(said)] if said is not None else []
    params = {
        "models": [{"name": "m", "model": MODEL, "max_model_len": 4096, "extra_args": extra, **more}],
        "gpus": [{"name": "NVIDIA GeForce RTX 5090"}],
        **{
            "preset": "aggressive",
            "engine_version": "",
            "device": "cuda",
            "image": "",
            "calibration": {},
            "proved": {},
        },
    }
    return dict(next(model for gpu in memory_plan.plan(params)["gpus"] for model in gpu["models"]))


def weights(found: dict[str, Any]) -> int:
    return int(sum(part["bytes"] for part in found["parts"] if part["name"] == "weights"))


def folder(place: Path, config: dict[str, Any]) -> str:
    (place / "config.json").write_text(json.dumps(config))
    return str(place)


@pytest.mark.parametrize(
    ("config", "method", "joined", "words"),
    [
        ({"architectures": ["LlamaForCausalLMEagle3"], "draft_vocab_size": 32000}, "eagle3", "eagle3", 32000),
        # EAGLE's own heads call themselves what they are made of: how they guess is said by the flag alone. Their words are the model's.
        ({"architectures": ["LlamaForCausalLM"]}, "eagle", "eagle", 0),
        (
            {"architectures": ["DFlashDraftModel"], "dflash_config": {"target_layer_ids": [1, 9, 17]}},
            "dflash",
            "dflash",
            152064,
        ),
    ],
)
def test_a_head_is_counted_with_what_joins_its_states(
    tmp_path: Path, config: dict[str, Any], method: str, joined: str, words: int
) -> None:
    found = planned({"method": method, "model": folder(tmp_path, {**HEAD, **config}), "num_speculative_tokens": 3})
    more = {"eagle": 2 * HIDDEN**2, "eagle3": 3 * HIDDEN**2 + HIDDEN * 36 * 128, "dflash": 3 * HIDDEN**2}[joined]
    added = weights(found) - weights(planned(None))
    assert added == pytest.approx(2 * (LAYER + more + words * HIDDEN), rel=0.02)


def test_a_head_in_the_speculators_format_has_its_sizes_in_a_section(tmp_path: Path) -> None:
    config = {
        **{"architectures": ["Eagle3Speculator"], "speculators_model_type": "eagle3", "draft_vocab_size": 32000},
        **{"transformer_layer_config": HEAD, "speculators_config": {"verifier": {"name_or_path": MODEL}}},
    }
    said = {"method": "eagle3", "model": folder(tmp_path, config), "num_speculative_tokens": 3}
    plain = {**HEAD, "architectures": ["LlamaForCausalLMEagle3"], "draft_vocab_size": 32000}
    (tmp_path / "plain").mkdir()
    same = {**said, "model": folder(tmp_path / "plain", plain)}
    assert weights(planned(said)) == weights(planned(same)) > weights(planned(None))


def test_a_draft_in_the_place_of_a_model_is_refused(tmp_path: Path) -> None:
    config = {
        **HEAD,
        "architectures": ["Eagle3Speculator"],
        "speculators_config": {"verifier": {"name_or_path": MODEL}},
    }
    for more in ({}, {"weights_bytes": "2GiB"}):
        with pytest.raises(
            FleetError, match=rf"o/head is a draft, and the engine would load {MODEL} too.* Set model to {MODEL}"
        ):
            planned(None, model="o/head", config=config, **more)
    with pytest.raises(FleetError, match="would load the model that it guesses for too"):
        planned(None, model="o/head", config={**HEAD, "speculators_config": {}})


MTP = {**CONFIGS[MODEL], "num_nextn_predict_layers": 1}


def test_layers_ahead_may_be_said_to_be_the_model_s_own() -> None:
    plain = planned({"method": "mtp", "num_speculative_tokens": 1}, config=MTP)
    named = planned({"method": "mtp", "model": MODEL, "num_speculative_tokens": 1}, config=MTP)
    assert weights(named) == weights(plain) > weights(planned(None, config=MTP))
    assert named["kv_cache_bytes"] == plain["kv_cache_bytes"] > planned(None, config=MTP)["kv_cache_bytes"]


def test_layers_ahead_of_another_repository_are_refused_or_written() -> None:
    said = {"method": "mtp", "model": "o/assistant", "num_speculative_tokens": 1}
    with pytest.raises(
        FleetError, match=r"the layers of o/assistant that predict ahead for \S+ are not counted\. .*weights_bytes"
    ):
        planned(said, config=MTP)
    assert weights(planned(said, config=MTP, weights_bytes="17GiB")) == 17 * GIB


@pytest.mark.parametrize("method", ["medusa", "mlp_speculator"])
def test_a_head_nobody_can_count_is_refused_unless_its_bytes_are_written(tmp_path: Path, method: str) -> None:
    config = {**HEAD, "architectures": ["HeadOfTomorrow"]}
    said = {"method": method, "model": folder(tmp_path, config), "num_speculative_tokens": 3}
    with pytest.raises(FleetError) as caught:
        planned(said)
    assert str(caught.value).startswith("vllm_stack_models[0].extra_args: the draft can't be counted: ")
    assert str(caught.value).endswith("Set weights_bytes to what both take together, or take method ngram.")
    whole = planned(said, weights_bytes="17GiB")
    assert weights(whole) == 17 * GIB
    assert whole["kv_cache_bytes"] > planned(None, weights_bytes="17GiB")["kv_cache_bytes"], "for as many requests"


def test_flags_of_their_own_ask_for_the_same() -> None:
    said = {"method": "eagle3", "model": "o/head", "num_speculative_tokens": 3}
    for flags in (["--spec-method", "eagle3", "--spec-model", "o/head"], ["-sc.method=eagle3", "-sc.model=o/head"]):
        with pytest.raises(FleetError, match="nothing is known of the draft o/head"):
            planned(None, extra_args=flags)
    with pytest.raises(FleetError, match="nothing is known of the draft o/head"):
        planned(said)
