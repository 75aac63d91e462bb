# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Classes by their names, and layers by their numbers: decoders without their head, attention to both sides, sizes of one layer."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import architectures, sections
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.kv_pool import Kind
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape

LLAMA: dict[str, Any] = {
    **{"architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "intermediate_size": 14336, "vocab_size": 128256},
    **{"num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "torch_dtype": "bfloat16"},
    **{"max_position_embeddings": 131072, "tie_word_embeddings": False},
}


def test_a_latent_that_is_stored_and_not_kept_is_counted_as_stored() -> None:
    # MiniCPM3-4B: the class has so many parameters; vLLM (models/minicpm3.py) keeps keys and values of 40 heads of 96.
    minicpm3 = {
        **{"architectures": ["MiniCPM3ForCausalLM"], "hidden_size": 2560, "intermediate_size": 6400},
        **{"num_hidden_layers": 62, "num_attention_heads": 40, "num_key_value_heads": 40, "vocab_size": 73448},
        **{"q_lora_rank": 768, "kv_lora_rank": 256, "qk_nope_head_dim": 64, "qk_rope_head_dim": 32, "v_head_dim": 64},
        **{"max_position_embeddings": 32768, "tie_word_embeddings": True, "torch_dtype": "bfloat16"},
    }
    found = ModelShape.from_config(minicpm3)
    assert found.parameters() == 4_073_875_968
    assert [(kept.kind, kept.kv_heads, kept.head_dim, kept.latent, count) for kept, count in found.keeps] == [
        (Kind.FULL, 40, 96, 0, 62)
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"architectures": ["Gemma3TextModel"], "use_bidirectional_attention": True},
        {"architectures": ["LlamaBidirectionalModel"]},
        {"architectures": ["LlamaBidirectionalForSequenceClassification"]},
        {"architectures": ["Qwen2ForCausalLM"], "is_causal": False},
    ],
)
def test_nothing_is_kept_where_a_token_sees_those_behind_it(change: dict[str, Any]) -> None:
    assert not ModelShape.from_config({**LLAMA, **change}).has_kv_cache
    assert ModelShape.from_config({**LLAMA, "use_bidirectional_attention": False, "is_causal": True}).has_kv_cache


@pytest.mark.parametrize(
    "name",
    [
        *("Qwen3Model", "Qwen3ForSequenceClassification", "GemmaForSequenceClassification", "Exaone4ForRewardModel"),
        *("GPT2ForSequenceClassification", "JambaForSequenceClassification", "MistralModel"),
    ],
)
def test_any_decoder_serves_without_its_output_layer(name: str) -> None:
    found = architectures.find(name)
    assert found is not None and not found.head and not found.encoder


@pytest.mark.parametrize("name", ["Model", "NobodysModel", "NobodysForSequenceClassification", "BertForRewardModel"])
def test_nothing_is_known_of_a_class_by_the_end_of_its_name(name: str) -> None:
    assert architectures.find(name) is None


def test_layers_are_as_their_numbers_say() -> None:
    found = ModelShape.from_config(
        {**LLAMA, "per_layer_config": {"05": {"head_dim": 512}, "7": {"num_key_value_heads": 2, "head_dim": 512}}}
    )
    assert {(kept.kv_heads, kept.head_dim): count for kept, count in found.keeps} == {
        (8, 128): 30,
        (8, 512): 1,
        (2, 512): 1,
    }


@pytest.mark.parametrize("wrong", [{"32": {"head_dim": 4}}, {"x": {"head_dim": 4}}, {"1": 5}, {"99999": {}}])
def test_a_layer_that_is_not_there_has_no_sizes(wrong: dict[str, Any]) -> None:
    with pytest.raises(FleetError, match=r"per_layer_config: '.*' is none of its 32 layers"):
        ModelShape.from_config({**LLAMA, "per_layer_config": wrong})


def test_a_list_of_layers_says_how_many_there_are() -> None:
    without = {key: value for key, value in LLAMA.items() if key != "num_hidden_layers"}
    assert ModelShape.from_config({**without, "layer_types": ["full_attention"] * 5}).layers == 5


def test_a_layer_nobody_knows_is_planned_to_keep_every_token_where_the_weights_are_written() -> None:
    strange = {**LLAMA, "layer_types": ["holographic"] * 8 + ["full_attention"] * 24}
    with pytest.raises(
        FleetError, match=r"layers of kind 'holographic' can't be counted\. Let model_info .*set weights_bytes"
    ):
        ModelShape.from_config(strange)
    found = ModelShape.from_config(strange, weights_bytes=16 * 2**30)
    assert [(kept.kind, count) for kept, count in found.keeps] == [(Kind.FULL, 32)]
    assert not found.known and ModelShape.from_config(LLAMA, weights_bytes=16 * 2**30).known


@pytest.mark.parametrize(("outer", "inner", "tied"), [(True, False, True), (False, True, False), (None, True, True)])
def test_the_whole_file_says_whether_embeddings_are_tied(outer: bool | None, inner: bool, tied: bool) -> None:
    text = {**LLAMA, "model_type": "llama", "tie_word_embeddings": inner}
    vision = {"hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 96, "patch_size": 14}
    model = {"architectures": ["LlavaForConditionalGeneration"], "model_type": "llava", "vision_config": vision}
    said = {} if outer is None else {"tie_word_embeddings": outer}
    assert ModelShape.from_config({**model, **said, "text_config": text}).tied_embeddings is tied


def block(group: int | None, width: float | None) -> dict[str, Any]:
    """What a pruned Llama's file says of one layer."""
    attention = {"n_heads_in_group": group, "no_op": group is None, "replace_with_linear": False}
    return {"attention": attention, "ffn": {"ffn_mult": width, "no_op": width is None, "replace_with_linear": False}}


def test_a_pruned_llama_is_counted_layer_by_layer() -> None:
    pruned: dict[str, Any] = {
        **{"architectures": ["DeciLMForCausalLM"], "model_type": "nemotron-nas", "num_hidden_layers": 5},
        **{"hidden_size": 4096, "intermediate_size": None, "num_attention_heads": 32, "num_key_value_heads": None},
        **{"vocab_size": 128256, "max_position_embeddings": 131072, "tie_word_embeddings": False},
        "block_configs": [block(4, 5.25), block(8, 2.625), block(None, 1.3125), block(4, None), block(None, None)],
    }
    found = ModelShape.from_config(pruned)
    # 2 * 5.25 * 4096 / 3 is 14,336, as a whole Llama's; the others are rounded up to 256.
    widths = (14336, 7168, 3584, 0, 0)
    attention = 2 * (2 * 4096 * 4096 + 2 * 4096 * 1024) + 2 * 4096 * 4096 + 2 * 4096 * 512
    whole = attention + sum(3 * 4096 * width for width in widths) + 2 * 128256 * 4096
    assert found.parameters() == pytest.approx(whole, rel=1e-4)
    assert {kept.kv_heads: count for kept, count in found.keeps} == {8: 2, 4: 1}
    for short in (pruned["block_configs"][:4], [1, 2, 3, 4, 5]):
        with pytest.raises(FleetError, match="block_configs: it says too little of 5 layers"):
            ModelShape.from_config({**pruned, "block_configs": short})


@pytest.mark.parametrize(
    ("model_type", "name"),
    [
        *(("qwen2_moe", "Qwen2MoeForCausalLM"), ("olmo3", "Olmo3ForCausalLM"), ("falcon_h1", "FalconH1ForCausalLM")),
        *(("granitemoehybrid", "GraniteMoeHybridForCausalLM"), ("ernie4_5_moe_text", "Ernie4_5_MoeForCausalLM")),
        *(("llama4_text", "Llama4ForCausalLM"), ("gpt_oss", "GptOssForCausalLM"), ("tomorrow", ""), ("", "")),
    ],
)
def test_a_section_is_of_the_class_that_is_called_like_its_model_type(model_type: str, name: str) -> None:
    assert sections.language(model_type) == name
