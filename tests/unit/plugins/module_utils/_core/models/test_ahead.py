# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Layers that predict ahead, by config.json and by the names of their tensors; drafts beside a model."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import ahead, drafts, weights
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.config import Config
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.tensors import TensorGroup


def group(name: str, *layers: tuple[int, int], count: int = 1) -> TensorGroup:
    return TensorGroup(name, "BF16", (8, 8), count, layers)


OWN = group("model.layers.*.mlp.up_proj.weight", (0, 3), count=4)
BEHIND = group("model.layers.*.eh_proj.weight", (4, 4))


@pytest.mark.parametrize("key", ["num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_layers"])
def test_config_json_says_how_many_there_are(key: str) -> None:
    assert ahead.count(Config({key: 3}, {}), (), 4) == 3
    # A checkpoint that has been left without them has none.
    assert ahead.count(Config({key: 3}, {}), [OWN], 4) == 0 and ahead.count(Config({key: 3}, {}), [OWN, BEHIND], 4) == 3


@pytest.mark.parametrize(
    ("model_type", "layers"), [("qwen3_next", 1), ("longcat_flash", 1), ("step3p5", 1), ("llama", 0), (None, 0)]
)
def test_some_files_are_silent_of_the_one_that_they_have(model_type: str | None, layers: int) -> None:
    assert ahead.count(Config({"model_type": model_type}, {}), (), 4) == layers
    assert ahead.count(Config({"model_type": model_type}, {}), [BEHIND], 4) == layers
    assert ahead.count(Config({"model_type": model_type}, {}), [group("mtp.fc.weight")], 4) == 1


@pytest.mark.parametrize(
    "name", ["nextn.a", "eagle_module.a", "draft_model.a", "mtp.fc", "model.mtp_layers.0.a", "model.mtp_block.0.a"]
)
def test_a_tensor_ahead_is_known_by_its_name(name: str) -> None:
    assert ahead.is_named_ahead(name) and not ahead.is_named_ahead(f"model.x{name.removeprefix('model.')}")
    assert ahead.share(group(name), 4, 0) == 1.0


def test_of_equal_tensors_those_behind_the_last_layer_are_ahead() -> None:
    both = group("model.layers.*.mlp.up_proj.weight", (0, 2), (4, 4), count=4)
    assert ahead.share(both, 4, 1) == 0.25 and ahead.share(both, 4, 0) == 0.0 and ahead.share(OWN, 4, 1) == 0.0
    assert ahead.share(BEHIND, 4, 1) == 1.0 and ahead.share(group("model.norm.weight"), 4, 1) == 0.0
    loading = weights.Loading(dtype_bytes=2, tied=False, layers=4, ahead_layers=1)
    assert (weights.loaded_bytes([both], loading), weights.ahead_bytes([both], loading)) == (3 * 128, 128)


@pytest.mark.parametrize("name", ["embed_tokens.weight", "shared_head.head.weight", "lm_head.weight"])
def test_ends_of_the_vocabulary_are_the_model_s_own(name: str) -> None:
    loading = weights.Loading(dtype_bytes=2, tied=False, layers=4, ahead_layers=1)
    assert ahead.is_shared(f"mtp.{name}") and not ahead.is_shared(f"mtp.{name}_scale")
    assert weights.ahead_bytes([group(f"mtp.{name}"), group("mtp.fc.weight")], loading) == 128


LLAMA: dict[str, Any] = {
    **{"model_type": "llama", "torch_dtype": "bfloat16", "hidden_size": 64, "num_hidden_layers": 1},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "intermediate_size": 96, "vocab_size": 128},
    **{"max_position_embeddings": 512},
}
# A head has one matrix of the vocabulary; the first EAGLE's has none.
ONE = ModelShape.from_config({**LLAMA, "architectures": ["LlamaForCausalLM"], "tie_word_embeddings": True})
QWEN = ModelShape.from_config({**LLAMA, "architectures": ["Qwen3ForCausalLM"], "tie_word_embeddings": True})


@pytest.mark.parametrize(
    ("more", "method", "base", "joined"),
    [
        ({"architectures": ["EagleLlamaForCausalLM"]}, "", ONE, 2 * 64 * 64 - 128 * 64),
        ({"architectures": ["X"]}, "eagle", ONE, 2 * 64 * 64 - 128 * 64),
        # Three of the model's states in, and attention reads twice the width.
        ({"architectures": ["X"]}, "eagle3", ONE, 3 * 64 * 64 + 64 * (4 + 2 * 2) * 32),
        ({"architectures": ["Eagle3LlamaForCausalLM"]}, "", ONE, 3 * 64 * 64 + 64 * (4 + 2 * 2) * 32),
        ({"architectures": ["X"], "speculators_model_type": "eagle3"}, "", ONE, 3 * 64 * 64 + 64 * (4 + 2 * 2) * 32),
        ({"architectures": ["Eagle3Qwen3ForCausalLM"]}, "", QWEN, 3 * 64 * 64 + 64 * (4 + 2 * 2) * 32),
        ({"architectures": ["DFlashDraftModel"]}, "", QWEN, 5 * 64 * 64),
        ({"architectures": ["DFlashDraftModel"], "dflash_config": {"target_layer_ids": [1, 9]}}, "", QWEN, 2 * 64 * 64),
        ({"architectures": ["DFlashDraftModel"], "dflash_config": {"target_layer_ids": []}}, "", QWEN, 5 * 64 * 64),
    ],
)
def test_a_head_is_its_layers_and_what_joins_states_to_a_token(
    more: dict[str, Any], method: str, base: ModelShape, joined: int
) -> None:
    found = drafts.shape_of({**LLAMA, **more}, "auto", "d", method)
    assert found.plain_parameters - base.plain_parameters == joined and found.keeps == base.keeps
    assert found.linear_parameters == base.linear_parameters
    # Layers in a section of the speculators' format are the same, and a vocabulary of its own is the smaller one.
    inner = drafts.shape_of({"transformer_layer_config": LLAMA, **more}, "auto", "d", method)
    assert inner.plain_parameters == found.plain_parameters
    fewer = drafts.shape_of({**LLAMA, **more, "draft_vocab_size": 64}, "auto", "d", method)
    # Where the output layer is the model's own, a vocabulary of the draft's changes nothing.
    own = 64 * 64 if joined > 0 else 0
    assert found.plain_parameters - fewer.plain_parameters == own and fewer.vocab_size == 64


def test_a_smaller_model_is_a_draft_as_it_is_and_what_is_none_is_refused() -> None:
    whole = {**LLAMA, "architectures": ["LlamaForCausalLM"]}
    assert drafts.shape_of(whole, "auto", "d") == ModelShape.from_config(whole)
    with pytest.raises(
        FleetError, match=r"^d: the draft can't be counted: hidden_size: .* Set weights_bytes to what both"
    ):
        drafts.shape_of({**whole, "hidden_size": -1}, "auto", "d")
    drafts.check_is_none(whole, "o/m", "w")
    for verifier, name in (({"name_or_path": "o/big"}, "o/big"), ({}, "that one"), (None, "that one")):
        with pytest.raises(FleetError, match=rf"^w\.model: o/d is a draft, .* Set model to {name}, and name the draft"):
            drafts.check_is_none({"speculators_config": {"verifier": verifier}}, "o/d", "w")
