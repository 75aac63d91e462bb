# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of a model by hand: matrices and states of each mixer, kinds of quantization, encoders, drafts."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import (
    architectures,
    drafts,
    encoders,
    layers,
    layout,
    quantization,
    sections,
    shape,
    states,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.config import Config
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.layers import Layer, Mixer
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape

SIZES: dict[str, Any] = {"hidden_size": 64, "vocab_size": 100, "num_attention_heads": 4, "head_dim": 32}


def config(**values: Any) -> Config:
    """A config.json with only a language part."""
    every = {**SIZES, **values}
    return Config(every, every)


def matrices(mixer: Mixer, **values: Any) -> tuple[dict[str, tuple[int, int]], int]:
    """Return the matrices of one layer with this mixer, inputs and outputs by name, and its plain parameters less the norms."""
    one = Layer((mixer,), heads=4, kv_heads=4, head_dim=32, mlp=0)
    found = layout.decoder(config(**values), architectures.Architecture(), [one], None, tied=True)
    named = {matrix.name.removeprefix("model.layers.*."): (matrix.inputs, matrix.outputs) for matrix in found.matrices}
    return {name: sizes for name, sizes in named.items() if not name.startswith("mlp.")}, found.plain - 3 * 64


def test_a_gated_delta_net_has_keys_values_and_gates() -> None:
    sizes = {"linear_num_key_heads": 2, "linear_key_head_dim": 8, "linear_num_value_heads": 4}
    found, plain = matrices(Mixer.DELTA, **sizes, linear_value_head_dim=16, linear_conv_kernel_dim=3)
    assert found == {
        "linear_attn.in_proj_qkv": (64, 2 * 16 + 64),
        "linear_attn.in_proj_z": (64, 64),
        "linear_attn.in_proj_b": (64, 4),
        "linear_attn.in_proj_a": (64, 4),
        "linear_attn.out_proj": (64, 64),
    }
    # The convolution's taps, two values a head, and a norm of the head's size.
    assert plain == (2 * 16 + 64) * 3 + 2 * 4 + 16


def test_a_kimi_delta_attention_has_two_low_ranks() -> None:
    section = {"num_heads": 3, "head_dim": 8, "short_conv_kernel_size": 5}
    found, plain = matrices(Mixer.KDA, linear_attn_config=section)
    assert found == {
        **{f"self_attn.{name}": (64, 24) for name in ("q_proj", "k_proj", "v_proj")},
        **{f"self_attn.{name}_a_proj": (64, 8) for name in ("f", "g")},
        **{f"self_attn.{name}_b_proj": (8, 24) for name in ("f", "g")},
        "self_attn.b_proj": (64, 3),
        "self_attn.o_proj": (24, 64),
    }
    assert plain == 3 * 24 * 5 + 3 + 24 + 8


def test_a_lightning_attention_has_a_gate_on_its_output() -> None:
    found, plain = matrices(Mixer.LIGHTNING)
    assert found == {
        "self_attn.qkv_proj": (64, 3 * 128),
        "self_attn.output_gate": (64, 128),
        "self_attn.out_proj": (128, 64),
    }
    assert plain == 128


@pytest.mark.parametrize(
    ("mixer", "values", "elements"),
    [
        (Mixer.LIGHTNING, {}, (0, 4 * 32 * 32)),
        (Mixer.LIGHTNING, {"head_dim": None}, (0, 4 * 16 * 16)),
        (
            Mixer.KDA,
            {"linear_attn_config": {"num_heads": 3, "head_dim": 8, "short_conv_kernel_size": 5}},
            (3 * 24 * 4, 3 * 8 * 8),
        ),
        (Mixer.CONV, {"conv_L_cache": 3}, (64 * 2, 0)),
        (Mixer.CONV, {"conv_dim": 48, "conv_L_cache": 4}, (48 * 3, 0)),
    ],
)
def test_what_a_sequence_keeps_of_each_state(mixer: Mixer, values: dict[str, Any], elements: tuple[int, int]) -> None:
    assert states.state_elements(config(**values), mixer, architectures.Architecture()) == elements


@pytest.mark.parametrize(
    ("values", "found"),
    [
        # Kimi counts its layers from one.
        ({"linear_attn_config": {"kda_layers": [1, 2, 4]}}, {0, 1, 3}),
        ({"full_attn_idxs": [1]}, {0, 2, 3}),
        ({"attn_type_list": [0, 1, 0, 0]}, {0, 2, 3}),
        ({"attn_layer_period": 2, "attn_layer_offset": 1}, {0, 2}),
    ],
)
def test_layers_that_keep_a_state_are_told_by_whatever_key_names_them(values: dict[str, Any], found: set[int]) -> None:
    assert layers._state_layers(config(**values), architectures.Architecture(), 4) == found


def test_every_language_part_is_an_architecture_that_is_counted() -> None:
    assert set(sections.LANGUAGE.values()) | set(sections.FLAT.values()) <= set(architectures.ARCHITECTURES)


@pytest.mark.parametrize(
    ("weight", "bits"),
    [
        ({"dtype": "fp8_e4m3"}, 8.0),
        ({"dtype": "int8"}, 8.0),
        ([{"dtype": "fp4"}], 4.25),
        ({"dtype": "int4"}, 4.125),
        ({"dtype": "unheard of"}, None),
        ([], None),
        (None, None),
    ],
)
def test_quark_tells_bits_by_the_type_of_its_weights(weight: Any, bits: float | None) -> None:
    found = quantization._quark("quark", {"global_quant_config": {"weight": weight}}, 16.0, "config")
    assert (found.method, found.weight_bits, found.known) == ("quark", bits or 16.0, bits is not None)


def test_quark_has_layers_of_their_own() -> None:
    body = {
        "global_quant_config": {"weight": {"dtype": "int4"}},
        "exclude": ["lm_head"],
        "layer_quant_config": {"*.mlp.*": {"weight": {"dtype": "fp8_e4m3"}}, "*.norm": {}},
    }
    found = quantization._quark("quark", body, 16.0, "config")
    assert [(rule.match, rule.pattern, rule.bits) for rule in found.rules] == [
        (quantization.Match.WILDCARD, "lm_head", None),
        (quantization.Match.WILDCARD, "*.mlp.*", 8.0),
        (quantization.Match.WILDCARD, "*.norm", None),
    ]


def test_auto_round_names_layers_whole_and_where_it_must_by_pattern() -> None:
    body = {"bits": 4, "group_size": 128, "extra_config": {"model.a": {"bits": 16}, ".*b.*": {"bits": 8}}}
    found = quantization._auto_round("auto-round", body, 16.0, "config")
    assert [(rule.match, rule.pattern, rule.bits) for rule in found.rules] == [
        (quantization.Match.WHOLE, "model.a", None),
        (quantization.Match.WHOLE, ".*b.*", 8.125),
        (quantization.Match.REGEX, "re:.*b.*", 8.125),
    ]
    # Without symmetry a group has its zero point, too.
    assert quantization._auto_round("auto-round", {**body, "sym": False}, 16.0, "config").rules[1].bits == 8.25


VISION = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 48, "patch_size": 4}


def encoder(**section: Any) -> encoders.Encoders:
    outer = {"model_type": "llava", "vision_config": {**VISION, **section}, "text_config": SIZES}
    return encoders.read(Config(SIZES, outer))


def test_an_encoder_s_mlp_is_as_wide_as_is_written_or_as_its_ratio_says() -> None:
    assert (encoder().hidden_size, encoder().intermediate_size) == (32, 48)
    assert encoder(intermediate_size=None, mlp_ratio=3.5).intermediate_size == 112
    assert encoder(intermediate_size=None).intermediate_size == 4 * 32
    # Two layers: for each more width of the MLP two matrices and a bias.
    assert encoder(intermediate_size=49).parameters - encoder().parameters == 2 * (2 * 32 + 1)


def test_the_widest_of_several_encoders_counts() -> None:
    sections = {"vision_config": VISION, "audio_config": {**VISION, "hidden_size": 16, "d_model": 16}}
    outer = {"model_type": "qwen2_5_omni_thinker", "text_config": SIZES, **sections}
    found = encoders.read(Config(SIZES, outer))
    assert (found.kinds, found.hidden_size) == (("vision", "audio"), 32)


def test_a_head_of_the_first_eagle_joins_two_states() -> None:
    layer = {
        **SIZES,
        "num_hidden_layers": 1,
        "intermediate_size": 96,
        "num_key_value_heads": 2,
        "torch_dtype": "bfloat16",
    }
    plain = {**layer, "architectures": ["LlamaForCausalLM"], "tie_word_embeddings": True, "max_position_embeddings": 64}
    found = drafts.shape_of({**plain, "architectures": ["EagleLlamaForCausalLM"]}, "auto", "draft")
    # Its words are the model's, going in and coming out; MiniCPM's has an output layer of its own.
    words = 64 * ModelShape.from_config(plain).vocab_size
    assert found.plain_parameters - ModelShape.from_config(plain).plain_parameters == 2 * 64 * 64 - words
    own = drafts.shape_of({**plain, "architectures": ["EagleMiniCPMForCausalLM"]}, "auto", "draft")
    assert own.plain_parameters - found.plain_parameters == words


def test_an_mlp_of_its_own_size_beside_experts() -> None:
    values = {**SIZES, "num_hidden_layers": 2, "num_key_value_heads": 2, "intermediate_size": 96}
    plain = layers.read(config(**values), architectures.Architecture())
    other = layers.read(config(**values, intermediate_size_mlp=160), architectures.Architecture())
    assert ([layer.mlp for layer in plain], [layer.mlp for layer in other]) == ([96, 96], [160, 160])


@pytest.mark.parametrize("family", ["glm4v", "glm4v_moe"])
def test_a_glm_encoder_s_layers_are_as_wide_as_what_they_speak_to(family: str) -> None:
    def inner(**section: Any) -> int:
        outer = {"model_type": family, "vision_config": {**VISION, **section}, "text_config": SIZES}
        return encoders.read(Config(SIZES, outer)).intermediate_size

    # 4,096 is the class's.
    assert (inner(), inner(out_hidden_size=80)) == (4096, 80)


def test_a_second_mamba_has_what_its_convolution_and_heads_need() -> None:
    sizes = {"mamba_n_heads": 2, "mamba_d_head": 16, "mamba_n_groups": 2, "mamba_d_state": 8, "mamba_d_conv": 3}
    found, plain = matrices(Mixer.MAMBA2, **sizes)
    convolved = 2 * 16 + 2 * 2 * 8
    assert found == {"mixer.in_proj": (64, 32 + convolved + 2), "mixer.out_proj": (32, 64)}
    assert plain == convolved * (3 + 1) + 3 * 2 + 32


@pytest.mark.parametrize(
    ("values", "inner"), [({"mamba_expand": 3}, 192), ({"expand": 4}, 256), ({}, 128), ({"mamba_d_ssm": 320}, 320)]
)
def test_a_mamba_is_as_wide_as_its_family_says(values: dict[str, Any], inner: int) -> None:
    # In heads of 64 where nobody says.
    others = {"expand": 2, "mamba_n_groups": 1, "mamba_d_state": 128, "mamba_d_conv": 4, "head_dim": None}
    assert states.mamba2_sizes(config(**{**others, **values}))[:3] == (inner, inner // 64, 64)


@pytest.mark.parametrize("key", ["attention_bias", "qkv_bias", "use_qkv_bias", "use_bias", "bias"])
def test_biases_of_attention_whatever_they_are_called(key: str) -> None:
    assert matrices(Mixer.FULL, **{key: True})[1] - matrices(Mixer.FULL)[1] == 3 * 128 + 64
    assert matrices(Mixer.FULL, **{key: False})[1] == matrices(Mixer.FULL)[1]


def test_an_embedding_for_each_layer_with_its_gate_and_projections() -> None:
    found, plain = matrices(Mixer.FULL, hidden_size_per_layer_input=8, vocab_size_per_layer_input=90)
    assert found["per_layer_input_gate"] == (64, 8) and found["per_layer_projection"] == (8, 64)
    assert found["model.per_layer_model_projection"] == (64, 8)
    assert plain - matrices(Mixer.FULL)[1] == 90 * 8 + 64 + 8


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("model.layers.*.mixer.in_proj", "model.layers.3.mamba.in_proj"),
        ("model.layers.*.mlp.up_proj", "model.layers.3.feed_forward.up_proj"),
        ("model.layers.*.mlp.experts", "model.layers.3.block_sparse_moe.experts"),
        ("model.layers.*.linear_attn.out_proj", "model.layers.3.self_attn.out_proj"),
    ],
)
def test_a_layer_is_known_by_each_of_its_names(name: str, other: str) -> None:
    ((number, known),) = layout.names(layout.Matrix(name, 1, 1, (3,)), nested=False)
    assert number == 3 and {name.replace("*", "3"), other} <= set(known)


def test_zamba_s_shared_block_has_its_names() -> None:
    sizes: dict[str, Any] = {
        "hybrid_layer_ids": [0],
        "intermediate_size": 96,
        "adapter_rank": 8,
        "num_mem_blocks": 1,
        "use_shared_attention_adapter": True,
    }
    one = Layer((Mixer.FULL,), heads=4, kv_heads=2, head_dim=32, mlp=0)
    counted = layout.decoder(config(**sizes), architectures.Architecture(), [one, one], None, tied=True)
    found = {
        matrix.name.removeprefix("model.layers.*."): (matrix.inputs, matrix.outputs, matrix.layers)
        for matrix in counted.matrices
    }
    assert found == {
        **{f"shared_transformer.self_attn.{name}_proj": (128, 128 if name == "q" else 64, (0,)) for name in "qkv"},
        **{f"linear_{name}_proj_adapter.0": (128, 8, (0, 1)) for name in "qkv"},
        **{f"linear_{name}_proj_adapter.1": (8, 128 if name == "q" else 64, (0, 1)) for name in "qkv"},
        "shared_transformer.self_attn.o_proj": (128, 64, (0,)),
        "shared_transformer.feed_forward.gate_up_proj": (64, 2 * 96, (0,)),
        "shared_transformer.feed_forward.down_proj": (96, 64, (0,)),
        "gate_up_proj_adapter.0": (64, 8, (0, 1)),
        "gate_up_proj_adapter.1": (8, 2 * 96, (0, 1)),
        "linear": (64, 64, (0, 1)),
    }


def test_a_latent_has_its_names_and_an_indexer_its_own() -> None:
    sizes: dict[str, Any] = {
        **{"kv_lora_rank": 16, "q_lora_rank": 24, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 12},
    }
    plain, few = matrices(Mixer.LATENT, **sizes)
    assert plain == {
        "self_attn.q_a_proj": (64, 24),
        "self_attn.q_b_proj": (24, 4 * 12),
        "self_attn.kv_a_proj_with_mqa": (64, 16 + 4),
        "self_attn.kv_b_proj": (16, 4 * (8 + 12)),
        "self_attn.o_proj": (4 * 12, 64),
    }
    found, more = matrices(Mixer.LATENT, **sizes, index_head_dim=10, index_n_heads=3)
    assert {name: size for name, size in found.items() if name not in plain} == {
        "self_attn.indexer.wq_b": (24, 30),
        "self_attn.indexer.wk": (64, 10),
        "self_attn.indexer.weights_proj": (64, 3),
    }
    assert (few, more - few) == (16 + 24, 2 * 10)
    alone, _few = matrices(Mixer.LATENT, **{**sizes, "q_lora_rank": 0})
    assert alone["self_attn.q_proj"] == (64, 4 * 12) and "self_attn.q_a_proj" not in alone
    # Where the last size is left out a head's share of the width is taken.
    bare, _few = matrices(Mixer.LATENT, **{**sizes, "v_head_dim": None})
    assert bare["self_attn.o_proj"] == (4 * 16, 64)


def test_a_head_behind_an_embedding_model_s_name() -> None:
    assert (
        architectures.find("MistralBidirectionalModel")
        == architectures.find("MistralModel")
        == architectures.find("LlamaModel")
    )


@pytest.mark.parametrize(
    ("says", "has_table"),
    [
        ({"model_type": "jamba"}, False),
        ({"model_type": "nemotron_h"}, False),
        ({"position_embedding_type": "nope"}, False),
        ({"position_embedding_type": "rope"}, True),
        ({"model_type": "zamba2"}, False),
        ({"model_type": "zamba2", "use_mem_rope": True}, True),
        ({"model_type": "llama"}, True),
    ],
)
def test_what_knows_no_positions_has_no_table_of_them(says: dict[str, Any], has_table: bool) -> None:
    assert (shape._rotary_share(config(**{**SIZES, **says})) > 0) is has_table
