# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bits of each linear layer by what the files of each kind of quantization say, as the engine matches them."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import quantization
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.layout import Matrix, Part

UP = Matrix("model.layers.*.mlp.up_proj", 64, 8, (0, 1))
GATE = Matrix("model.layers.*.mlp.gate_proj", 64, 8, (0, 1))
Q = Matrix("model.layers.*.self_attn.q_proj", 64, 8, (0, 1))
EXPERT = Matrix("model.layers.*.mlp.experts.0.up_proj", 64, 8, (0, 1), 4, Part.EXPERTS)
HEAD = Matrix("lm_head", 64, 8, part=Part.HEAD)
PLAIN = 16.0
NVFP4, MXFP4 = 4.5, 4.25


def read(section: dict[str, Any] | None, asked: str | None = None, **files: Any) -> quantization.Quantization:
    config = {"quantization_config": section} if section is not None else {}
    return quantization.read(config, asked, 2, files or None, "config")


def bits(found: quantization.Quantization, *matrices: Matrix) -> list[float]:
    """Return the bits a parameter, of all layers together."""
    return [found.bits_of(one, nested=False) / one.parameters for one in matrices]


AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128}
MODELOPT = {"quant_method": "modelopt", "quant_algo": "FP8"}
PACKED = {
    "quant_method": "compressed-tensors",
    "config_groups": {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 4, "group_size": 128, "type": "int"}}},
}
NV_GROUP = {"targets": ["Linear"], "weights": {"num_bits": 4, "group_size": 16, "type": "float"}}
FP8_GROUP = {"targets": ["Linear"], "weights": {"num_bits": 8, "type": "float"}}


@pytest.mark.parametrize(
    ("section", "up", "expert", "head"),
    [
        # Blocks of fp8: scales are few.
        ({"quant_method": "fp8"}, 8.0, 8.0, PLAIN),
        ({"quant_method": "fp8", "modules_to_not_convert": ["model.layers.0.mlp.up_proj"]}, 12.0, 8.0, PLAIN),
        ({"quant_method": "fp8", "ignored_layers": ["model.layers.0.mlp"]}, 12.0, 12.0, PLAIN),
        ({"quant_method": "fbgemm_fp8"}, 8.0, 8.0, PLAIN),
        # Experts and nothing else.
        ({"quant_method": "mxfp4"}, PLAIN, MXFP4, PLAIN),
        ({"quant_method": "experts_int8"}, PLAIN, 8.0, PLAIN),
        # Scales and zero points of 16 bits each for a group.
        (AWQ, 4.25, 4.25, PLAIN),
        ({**AWQ, "modules_to_not_convert": ["mlp.up"]}, PLAIN, 4.25, PLAIN),
        ({**AWQ, "modules_to_not_convert": ["layers.1.mlp.gate_up"]}, 10.125, 4.25, PLAIN),
        ({**AWQ, "modules_to_not_convert": "mlp"}, 4.25, 4.25, PLAIN),
        ({"quant_method": "awq", "w_bit": 8, "q_group_size": 64}, 8.5, 8.5, PLAIN),
        ({"quant_method": "awq"}, 4.25, 4.25, PLAIN),
        ({**AWQ, "group_size": -1}, 4 + 32 / 4096, 4 + 32 / 4096, PLAIN),
        ({"quant_method": "awq_marlin", "bits": 4, "group_size": 32}, 5.0, 5.0, PLAIN),
        (GPTQ, 4.125, 4.125, PLAIN),
        ({**GPTQ, "lm_head": True}, 4.125, 4.125, 4.125),
        # The place of each row in its group, and the order: 64 bits a row of 8 outputs.
        ({**GPTQ, "desc_act": True}, 4.125 + 64 / 8, 4.125 + 64 / 8, PLAIN),
        ({**GPTQ, "dynamic": {"-:.*up_proj": {}}}, PLAIN, PLAIN, PLAIN),
        ({**GPTQ, "dynamic": {"+:.*0.mlp.up_proj": {"bits": 8}}}, 6.125, 4.125, PLAIN),
        ({**GPTQ, "dynamic": {".*layers.1.mlp.up": {"bits": 8, "group_size": 64}}}, 6.1875, 4.125, PLAIN),
        # AutoRound's have no zero points where they are symmetric.
        ({"quant_method": "auto-round", "bits": 4, "group_size": 128}, 4.125, 4.125, PLAIN),
        ({"quant_method": "auto-round", "bits": 4, "group_size": 128, "sym": False}, 4.25, 4.25, PLAIN),
        ({"quant_method": "inc", "bits": 2, "group_size": 64}, 2.25, 2.25, PLAIN),
        (
            {"quant_method": "auto-round", "bits": 4, "extra_config": {"model.layers.0.mlp.up_proj": {"bits": 16}}},
            (4.125 + 16) / 2,
            4.125,
            PLAIN,
        ),
        (
            {"quant_method": "auto-round", "bits": 4, "extra_config": {".*up_proj$": {"bits": 8}}},
            8.125,
            8.125,
            PLAIN,
        ),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, 4.5, 4.5, PLAIN),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, 8.0, 8.0, PLAIN),
        ({"quant_method": "bitsandbytes", "llm_int8_skip_modules": ["mlp"]}, PLAIN, PLAIN, PLAIN),
        (
            {"quant_method": "bitsandbytes", "llm_int8_skip_modules": ["model.layers.0"]},
            *([(4.5 + PLAIN) / 2] * 2),
            PLAIN,
        ),
        # A word is one between dots: MiniCPM's resampler has a kv_proj, and its layers a qkv_proj.
        ({"quant_method": "bitsandbytes", "llm_int8_skip_modules": ["ate_proj", "lm_head"]}, 4.5, 4.5, PLAIN),
        # ModelOpt's quantize the head too where nobody excludes it; patterns are the shell's.
        (MODELOPT, 8.0, 8.0, 8.0),
        ({**MODELOPT, "exclude_modules": ["lm_head", "model.layers.0*"]}, 12.0, 12.0, PLAIN),
        ({**MODELOPT, "ignore": ["*.mlp.*"]}, PLAIN, PLAIN, 8.0),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, NVFP4, NVFP4, NVFP4),
        ({"quant_method": "modelopt_fp4"}, NVFP4, NVFP4, NVFP4),
        ({"quant_method": "modelopt"}, 8.0, 8.0, 8.0),
        ({"quant_algo": "W4A16_NVFP4"}, NVFP4, NVFP4, NVFP4),
        ({"quant_algo": "nvfp4_awq", "producer": {"name": "modelopt"}}, NVFP4, NVFP4, NVFP4),
        ({"quant_algo": "MXFP8", "quant_method": "modelopt"}, 8.25, 8.25, 8.25),
        ({"quant_algo": "W4A8_AWQ", "quant_method": "modelopt"}, 4.125, 4.125, 4.125),
        ({"quantization": {"quant_algo": "FP8"}, "producer": {"name": "modelopt"}}, 8.0, 8.0, 8.0),
        (
            {
                **{"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION"},
                "quantized_layers": {"model.layers.0.mlp.up_proj": {"quant_algo": "NVFP4"}},
            },
            (NVFP4 + 16) / 2,
            PLAIN,
            PLAIN,
        ),
        # Groups of compressed-tensors: by class, or by name; what is ignored goes before.
        (PACKED, 4.125, 4.125, PLAIN),
        ({**PACKED, "ignore": ["re:.*mlp.*"]}, PLAIN, PLAIN, PLAIN),
        ({**PACKED, "ignore": ["model.layers.1.mlp.up_proj"]}, (4.125 + 16) / 2, 4.125, PLAIN),
        ({"quant_method": "compressed_tensors", "config_groups": {"a": NV_GROUP}}, NVFP4, NVFP4, PLAIN),
        ({"quant_method": "compressed-tensors", "config_groups": {"a": FP8_GROUP}}, 8.0, 8.0, PLAIN),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"a": FP8_GROUP, "b": {**NV_GROUP, "targets": ["re:.*experts.*"]}},
            },
            8.0,
            NVFP4,
            PLAIN,
        ),
        (
            {"quant_method": "compressed-tensors", "config_groups": {"b": {**NV_GROUP, "targets": ["re:.*experts.*"]}}},
            PLAIN,
            NVFP4,
            PLAIN,
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"a": {"weights": {"num_bits": 4, "group_size": 64, "symmetric": False}}},
            },
            4 + (16 + 4) / 64,
            4 + (16 + 4) / 64,
            PLAIN,
        ),
        (
            {"quant_method": "compressed-tensors", "config_groups": {"a": {"weights": {"num_bits": 0}}}},
            PLAIN,
            PLAIN,
            PLAIN,
        ),
        # Quark's, whole and layer by layer.
        ({"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp8_e4m3"}}}, 8.0, 8.0, PLAIN),
        ({"quant_method": "quark", "global_quant_config": {"weight": [{"dtype": "fp4"}]}}, MXFP4, MXFP4, PLAIN),
        ({"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "int8"}}}, 8.0, 8.0, PLAIN),
        ({"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "int4"}}}, 4.125, 4.125, PLAIN),
        (
            {
                **{
                    "quant_method": "quark",
                    "global_quant_config": {"weight": {"dtype": "fp8_e4m3"}},
                    "exclude": ["*up_proj"],
                },
                "layer_quant_config": {"*experts*": {"weight": {"dtype": "fp4"}}},
            },
            PLAIN,
            PLAIN,
            PLAIN,
        ),
    ],
)
def test_bits_of_each_part(section: dict[str, Any], up: float, expert: float, head: float) -> None:
    found = read(section)
    assert found.known and bits(found, UP, EXPERT, HEAD) == [up, expert, head]


@pytest.mark.parametrize(
    "section",
    [
        {"quant_method": "of_tomorrow"},
        {"bits": 4},
        {"group_size": 4},
        {"quant_method": "modelopt", "quant_algo": "OF_TOMORROW"},
        {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION"},
        {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": {"a": {"quant_algo": "X"}}},
        {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": {"a": 3}},
        {"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "of_tomorrow"}}},
        {"quant_method": "quark"},
        {"quant_algo": "OF_TOMORROW"},
    ],
)
def test_what_nobody_knows_is_not_known(section: dict[str, Any]) -> None:
    assert not read(section).known


@pytest.mark.parametrize(
    ("section", "method"),
    [
        # AutoGPTQ's and AutoAWQ's own files name no method.
        ({"bits": 4, "group_size": 128}, "gptq"),
        ({"bits": 4, "group_size": 128, "zero_point": True}, "awq"),
        ({"bits": 4, "group_size": 128, "w_bit": 4}, "awq"),
        ({"quant_algo": "FP8", "quant_method": "fp8"}, "fp8"),
        ({"quant_algo": "FP8", "producer": {"name": "modelopt"}}, "modelopt"),
        ({"quant_algo": "X_FP4", "producer": {"name": "modelopt"}}, "modelopt_fp4"),
        ({"quant_algo": "MIXED_PRECISION", "quant_method": "modelopt"}, "modelopt_mixed"),
        ({"quant_method": "AWQ"}, "awq"),
    ],
)
def test_a_method_is_told_by_its_keys(section: dict[str, Any], method: str) -> None:
    assert read(section).method == method


@pytest.mark.parametrize(
    ("section", "is_fp8"),
    [
        ({**MODELOPT, "kv_cache_quant_algo": "FP8"}, True),
        ({**MODELOPT, "kv_cache_scheme": {"num_bits": 8}}, True),
        ({**MODELOPT, "kv_cache_scheme": "FP8"}, True),
        ({**MODELOPT, "kv_cache_scheme": "INT8", "kv_cache_quant_algo": "NVFP4"}, False),
        (MODELOPT, False),
    ],
)
def test_a_cache_of_fp8_is_told(section: dict[str, Any], is_fp8: bool) -> None:
    assert read(section).fp8_cache is is_fp8


def test_where_a_quantization_stands() -> None:
    assert read(None).method is None and bits(read(None), UP, HEAD) == [PLAIN, PLAIN]
    assert quantization.read({}, None, 4).plain_bits == 32.0
    assert quantization.read({"compression_config": AWQ}, None, 2).method == "awq"
    assert quantization.read({"quantization_config": {}, "compression_config": AWQ}, None, 2).method == "awq"
    assert quantization.read({}, None, 2, inner={"quantization_config": AWQ}).method == "awq"
    for file in ("hf_quant_config.json", "quantize_config.json", "quant_config.json"):
        assert quantization.read({}, None, 2, {file: AWQ}).method == "awq"
    # What the user asks for is what is done where the files say nothing.
    assert read(None, "fp8").method == "fp8" and read(AWQ, "fp8").method == "awq"


def test_a_pattern_that_is_none_is_refused() -> None:
    for section in ({**GPTQ, "dynamic": {"+:(": {}}}, {**PACKED, "ignore": ["re:("]}):
        with pytest.raises(FleetError, match=r"config\.quantization_config: '\(' is no pattern of layers"):
            read(section)
    broken = {"quant_method": "auto-round", "bits": 4, "extra_config": {"*up": {"bits": 8}}}
    with pytest.raises(FleetError, match=r"'\*up' is no pattern of layers"):
        read(broken)


def test_whole_names_stand_for_all_below_and_parts_for_what_holds_them() -> None:
    whole = read({"quant_method": "fp8", "modules_to_not_convert": ["model.layers.0", "layers.1.self_attn"]})
    assert bits(whole, UP, Q) == [12.0, PLAIN]
    prefix = read({**MODELOPT, "ignore": ["model.layers.1"]})
    assert bits(prefix, UP, Q) == [12.0, 12.0]
    # Of an exact name before a pattern the earlier rule counts.
    first = read(
        {
            **PACKED,
            "ignore": ["model.layers.0.mlp.up_proj"],
            "config_groups": {"a": {**FP8_GROUP, "targets": ["re:.*up_proj"]}},
        }
    )
    assert bits(first, UP, Q) == [12.0, PLAIN]
    # Experts are one layer to the engine, and so are q, k and v.
    assert bits(read({**AWQ, "modules_to_not_convert": ["mlp.experts"]}), EXPERT, UP) == [PLAIN, 4.25]
    assert bits(read({**AWQ, "modules_to_not_convert": ["qkv_proj"]}), Q, UP) == [PLAIN, 4.25]
    assert bits(read({**AWQ, "modules_to_not_convert": ["gate_up_proj"]}), Q, UP, GATE) == [4.25, PLAIN, PLAIN]


def test_layers_that_differ_are_not_even_and_plain_ones_are_a_share() -> None:
    some = read({**AWQ, "modules_to_not_convert": ["layers.1.mlp"]})
    assert not some.is_even([UP, Q], False) and some.is_even([Q], False) and read(AWQ).is_even([UP], False)
    assert read(None).is_even([UP], False)
    all_up = read({**AWQ, "modules_to_not_convert": ["up_proj"]})
    assert all_up.is_even([UP, Q], False)
    assert all_up.plain_shares([UP, Q], False) == 0.5 and all_up.plain_shares([], False) == 0.0
    assert some.plain_shares([UP, Q], False) == 0.0
