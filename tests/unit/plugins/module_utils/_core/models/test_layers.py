# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each layer is, by every key that says so: how it mixes tokens, its heads, and its MLP."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import layers, layout
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.architectures import LLAMA, Architecture, find
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.config import Config
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.layers import Layer, Mixer
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.layout import Matrix, Part

LETTERS = {
    **{Mixer.FULL: "F", Mixer.SLIDING: "S", Mixer.CHUNKED: "C", Mixer.LATENT: "L", Mixer.DELTA: "D", Mixer.KDA: "K"},
    **{Mixer.LIGHTNING: "I", Mixer.MAMBA1: "1", Mixer.MAMBA2: "2", Mixer.CONV: "V"},
}
LATENT = {"kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 8}


def read(kind: Architecture, **values: Any) -> tuple[Layer, ...]:
    sizes = {
        **{"hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 6, "intermediate_size": 96},
        **values,
    }
    return layers.read(Config(sizes, sizes), kind)


def word(found: tuple[Layer, ...]) -> str:
    """Return a letter for each layer, "-" for one that mixes nothing; of two in one layer the second is a small one."""
    return " ".join("+".join(LETTERS[mixer] for mixer in one.mixers) or "-" for one in found)


@pytest.mark.parametrize(
    ("kind", "values", "kinds"),
    [
        ("LlamaForCausalLM", {}, "F F F F F F"),
        ("DeepseekV3ForCausalLM", LATENT, "L L L L L L"),
        ("DeepseekV3ForCausalLM", {}, "F F F F F F"),
        ("LlamaForCausalLM", LATENT, "F F F F F F"),
        # Words for each layer.
        (
            "LlamaForCausalLM",
            {
                "sliding_window": 8,
                "layer_types": [*["sliding_attention", "full_attention", "attention"], *["indexed_attention"] * 3],
            },
            "S F F F F F",
        ),
        (
            "LlamaForCausalLM",
            {"attention_chunk_size": 8, "layer_types": ["chunked_attention", "full_attention"] * 3},
            "C F C F C F",
        ),
        ("Lfm2ForCausalLM", {"layer_types": ["conv", "short_conv", "full_attention"] * 2}, "V V F V V F"),
        ("Qwen3NextForCausalLM", {"layer_types": ["linear_attention", "full_attention"] * 3}, "D F D F D F"),
        ("BambaForCausalLM", {"layer_types": ["mamba", "attention", "mamba2"] * 2}, "2 F 2 2 F 2"),
        ("FalconH1ForCausalLM", {"layers_block_type": ["hybrid", "mamba"] * 3}, "F+2 2 F+2 2 F+2 2"),
        ("NemotronHForCausalLM", {"hybrid_override_pattern": "M*E-MM"}, "2 F - - 2 2"),
        ("NemotronHForCausalLM", {"layers_block_type": ["mamba", "attention", "moe", "mlp"] * 2}, "2 F - - 2 F"),
        # Lists of numbers.
        ("Lfm2ForCausalLM", {"full_attn_idxs": [2, 5]}, "V V F V V F"),
        ("BambaForCausalLM", {"attn_layer_indices": [1]}, "2 F 2 2 2 2"),
        ("BambaForCausalLM", {"attn_layer_indices": []}, "2 2 2 2 2 2"),
        ("KimiLinearForCausalLM", {**LATENT, "linear_attn_config": {"kda_layers": [1, 2, 4]}}, "K K L K L L"),
        ("MiniMaxText01ForCausalLM", {"attn_type_list": [0, 0, 1, 0, 0, 1]}, "I I F I I F"),
        ("JambaForCausalLM", {"attn_layer_period": 3, "attn_layer_offset": 1}, "1 F 1 1 F 1"),
        ("JambaForCausalLM", {"attn_layer_period": 3}, "F 1 1 F 1 1"),
        ("Qwen3NextForCausalLM", {"full_attention_interval": 3}, "D D F D D F"),
        ("Qwen3NextForCausalLM", {}, "D D D F D D"),
        ("MiniMaxText01ForCausalLM", {"full_attention_interval": 2}, "I F I F I F"),
        ("FalconH1ForCausalLM", {"mamba_d_ssm": 64}, "F+2 F+2 F+2 F+2 F+2 F+2"),
        ("MambaForCausalLM", {}, "1 1 1 1 1 1"),
        # Chunks: every fourth layer sees everything, or the ones that turn no positions.
        ("Llama4ForCausalLM", {"attention_chunk_size": 8}, "C C C F C C"),
        ("Llama4ForCausalLM", {"attention_chunk_size": 8, "no_rope_layers": [1, 0, 1, 0]}, "C F C F F F"),
        ("Llama4ForCausalLM", {"attention_chunk_size": "8"}, "F F F F F F"),
        # Windows.
        ("LlamaForCausalLM", {"sliding_window": 8}, "F F F F F F"),
        ("LlamaForCausalLM", {"sliding_window": 8, "sliding_window_pattern": 1}, "S S S S S S"),
        ("LlamaForCausalLM", {"sliding_window": 8, "sliding_window_pattern": 3}, "S S F S S F"),
        ("LlamaForCausalLM", {"sliding_window": 8, "sliding_window_pattern": "LG"}, "S F S F S F"),
        ("LlamaForCausalLM", {"sliding_window": 8, "sliding_window_pattern": "LX"}, "F F F F F F"),
        ("LlamaForCausalLM", {"sliding_window": 8, "sliding_window_pattern": True}, "S S S S S S"),
        (
            "LlamaForCausalLM",
            {"sliding_window": 8, "sliding_window_pattern": 3, "use_sliding_window": False},
            "F F F F F F",
        ),
        ("LlamaForCausalLM", {"sliding_window": 0, "sliding_window_pattern": 3}, "F F F F F F"),
        ("LlamaForCausalLM", {"sliding_window": True, "sliding_window_pattern": 3}, "F F F F F F"),
        ("MistralForCausalLM", {}, "S S S S S S"),
        ("MistralForCausalLM", {"sliding_window": None}, "F F F F F F"),
        ("Gemma2ForCausalLM", {"sliding_window": 8}, "S F S F S F"),
        ("Gemma3ForCausalLM", {"sliding_window": 8}, "S S S S S F"),
        ("Cohere2ForCausalLM", {"sliding_window": 8}, "S S S F S S"),
        ("GptOssForCausalLM", {"sliding_window": 8}, "S F S F S F"),
        ("LlamaForCausalLM", {"layer_types": ["sliding_attention"] * 6}, "F F F F F F"),
    ],
)
def test_how_each_layer_mixes_tokens(kind: str, values: dict[str, Any], kinds: str) -> None:
    known = find(kind)
    assert known is not None and word(read(known, **values)) == kinds


def test_too_few_words_and_too_many_layers_are_refused() -> None:
    with pytest.raises(FleetError, match=r"config\.layer_types: 5 kinds are too few for 6 layers"):
        read(Architecture(), layer_types=["full_attention"] * 5)
    with pytest.raises(FleetError, match="1001 layers are none of a model"):
        read(Architecture(), num_hidden_layers=1001)
    assert len(read(Architecture(), num_hidden_layers=1000)) == 1000


def test_sizes_of_a_layer() -> None:
    (one, *_others) = read(Architecture(), num_key_value_heads=2, head_dim=24)
    assert one == Layer((Mixer.FULL,), 4, 2, 24, 96)
    assert read(Architecture())[0] == Layer((Mixer.FULL,), 4, 4, 16, 96)
    assert read(Architecture(), attention_head_dim=24)[0].head_dim == 24
    assert read(Architecture(), **LATENT)[0].head_dim == 8 + 4
    assert [one.heads for one in read(Architecture(), num_attention_heads_per_layer=[4, 2, 4, 2, 4, 2])] == [4, 2] * 3
    assert [one.kv_heads for one in read(Architecture(), num_key_value_heads=[0, 1, 2, 4, 4, 4])] == [1, 1, 2, 4, 4, 4]
    assert [one.kv_heads for one in read(Architecture(), multi_query=True, num_key_value_heads=4)] == [1] * 6
    newer = read(Architecture(), multi_query=True, num_key_value_heads=2, new_decoder_architecture=True)
    assert newer[0].kv_heads == 2


def test_widths_of_mlps() -> None:
    def widths(kind: Architecture = LLAMA, **values: Any) -> list[int]:
        return [one.mlp for one in read(kind, **{"num_hidden_layers": 3, **values})]

    assert widths(intermediate_size=[8, 16, 24]) == [8, 16, 24]
    assert widths(intermediate_size_mlp=40) == [40, 40, 40]
    assert widths(shared_intermediate_size=40) == [40, 40, 40]
    assert widths(shared_intermediate_size=40, num_experts=8, mlp_only_layers=[0]) == [96, 0, 0]
    assert widths(num_experts=8, mlp_only_layers=[0], enable_moe_block=True) == [96, 96, 96]
    # Without a gate it is four times as wide as the model; with one nobody knows.
    assert widths(Architecture(gated=False), intermediate_size=None) == [256, 256, 256]
    assert widths(Architecture(encoder=True), intermediate_size=None) == [256, 256, 256]
    with pytest.raises(FleetError, match="it has no intermediate_size"):
        widths(intermediate_size=None)
    assert widths(intermediate_size=None, num_experts=8, moe_intermediate_size=8) == [0, 0, 0]
    assert widths(Architecture(norms=1, mixer="mamba1"), intermediate_size=None) == [0, 0, 0]
    # LFM2's: two thirds, times a factor, rounded up.
    adjusted: dict[str, Any] = {"block_auto_adjust_ff_dim": True, "block_multiple_of": 10, "intermediate_size": 96}
    assert widths(**adjusted) == [70, 70, 70]
    assert widths(**adjusted, block_ffn_dim_multiplier=1.5) == [100, 100, 100]
    assert widths(**adjusted, block_ffn_dim_multiplier=True) == [70, 70, 70]
    assert widths(block_multiple_of=10) == [96, 96, 96]


def test_nemotron_s_layers_are_a_mixer_or_an_mlp() -> None:
    kind = find("NemotronHForCausalLM")
    assert kind is not None
    found = read(kind, hybrid_override_pattern="M*E-MM", num_experts=8)
    assert [(one.mlp, one.sparse) for one in found] == [
        (0, False),
        (0, False),
        (0, True),
        (96, False),
        (0, False),
        (0, False),
    ]
    words = read(kind, layers_block_type=["mamba", "attention", "moe", "mlp", "mamba", "mamba"], num_experts=8)
    assert words == found
    # The pattern says how many layers there are.
    assert len(read(kind, hybrid_override_pattern="M*-", num_hidden_layers=None)) == 3


def test_gemma_s_full_layers_are_of_another_size_and_the_last_ones_borrow() -> None:
    base = {"layer_types": ["sliding_attention", "full_attention"] * 3, "sliding_window": 8, "num_key_value_heads": 2}
    wide = read(Architecture(), **base, global_head_dim=32, num_global_key_value_heads=1)
    assert [(one.head_dim, one.kv_heads, one.keys_are_values) for one in wide[:2]] == [(16, 2, False), (32, 2, False)]
    same = read(Architecture(), **base, global_head_dim=32, num_global_key_value_heads=1, attention_k_eq_v=True)
    assert [(one.head_dim, one.kv_heads, one.keys_are_values) for one in same[:2]] == [(16, 2, False), (32, 1, True)]
    alone = read(Architecture(), **base, global_head_dim=32, attention_k_eq_v=True)
    assert alone[1].kv_heads == 2
    shared = read(Architecture(), num_kv_shared_layers=2, use_double_wide_mlp=True)
    assert [(one.borrows_cache, one.mlp) for one in shared] == [(False, 96)] * 4 + [(True, 192)] * 2
    assert not any(one.borrows_cache for one in read(Architecture(), num_kv_shared_layers=6))


def test_a_layer_by_its_number() -> None:
    said = {"1": {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "intermediate_size": 40}, "3": {}}
    found = read(Architecture(), per_layer_config=said)
    assert found[1] == Layer((Mixer.FULL,), 2, 1, 8, 40) and found[0] == found[3] == Layer((Mixer.FULL,), 4, 4, 16, 96)
    assert read(Architecture(), per_layer_config=[1])[1] == found[0]
    for wrong in ("6", "x", "00001", "-1"):
        with pytest.raises(FleetError, match=rf"per_layer_config: '{wrong}' is none of its 6 layers"):
            read(Architecture(), per_layer_config={wrong: {}})
    with pytest.raises(FleetError, match=r"per_layer_config: '1' is none"):
        read(Architecture(), per_layer_config={"1": 5})


def names(matrix: Matrix, nested: bool) -> list[tuple[int, tuple[str, ...]]]:
    return list(layout.names(matrix, nested))


def test_names_of_a_matrix_begin_with_the_checkpoint_s() -> None:
    one = Matrix("model.layers.*.mlp.gate_proj", 2, 3, (1, 4))
    ((number, found), (last, _names)) = names(one, nested=False)
    assert (number, last, found[0]) == (1, 4, "model.layers.1.mlp.gate_proj")
    inner = [
        *("layers.1.mlp.gate_proj", "layers.1.mlp.gate_up_proj"),
        *("layers.1.feed_forward.gate_proj", "layers.1.block_sparse_moe.gate_proj"),
    ]
    assert list(found) == [start + name for name in inner for start in ("model.", "", "backbone.")]
    starts = ("model.", "language_model.model.", "model.language_model.", "language_model.", "backbone.")
    assert list(names(one, nested=True)[0][1]) == [start + name for name in inner for start in starts]


@pytest.mark.parametrize(
    ("last", "fused"),
    [
        *((name, "qkv_proj") for name in ("q_proj", "k_proj", "v_proj")),
        *((name, "gate_up_proj") for name in ("gate_proj", "up_proj")),
        *(
            ("in_proj_qkv", "in_proj_qkvz"),
            ("in_proj_z", "in_proj_qkvz"),
            ("in_proj_b", "in_proj_ba"),
            ("in_proj_a", "in_proj_ba"),
        ),
        *(("o_proj", None), ("down_proj", None)),
    ],
)
def test_parts_that_the_engine_puts_together_have_its_name_too(last: str, fused: str | None) -> None:
    ((_number, found),) = names(Matrix(f"model.layers.*.x.{last}", 2, 3), nested=False)
    assert list(found[:3]) == [f"{start}layers.0.x.{last}" for start in ("model.", "", "backbone.")]
    assert list(found[3:]) == [f"{start}layers.0.x.{fused}" for start in ("model.", "", "backbone.") if fused]


def test_names_of_experts_and_heads() -> None:
    one = Matrix("model.layers.*.mlp.experts.0.down_proj", 2, 3, part=Part.EXPERTS)
    found = names(one, nested=False)[0][1]
    assert {f"model.layers.0.mlp.experts{end}" for end in (".0.down_proj", "", ".down_proj")} <= set(found)
    head = Matrix("lm_head", 2, 3, part=Part.HEAD)
    assert names(head, nested=True) == [(0, ("lm_head", "language_model.lm_head", "model.lm_head"))]
    assert one.each == 6 and Matrix("a", 2, 3, (0, 1), 4).parameters == 48
