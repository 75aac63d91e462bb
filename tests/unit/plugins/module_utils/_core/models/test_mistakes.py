# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Published configurations with mistakes in them: each is planned, or refused in one sentence."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import mistral
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape

DATA = Path(__file__).parents[5] / "data"
CONFIGURATIONS = [
    entry["config"]
    for name in ("class_parameters.json", "published_parameters.json")
    for entry in json.loads((DATA / name).read_text())
]


# What may stand in a file by mistake.
JUNK: tuple[Any, ...] = (
    *(
        None,
        0,
        1,
        -1,
        "",
        "x",
        "M*E-",
        [],
        {},
        [1],
        ["x"],
        [None],
        True,
        False,
        3.5,
        10**30,
        {"a": 1},
        [0, 1],
        "1,2",
        [[1, 2]],
        2**40,
    ),
    *(
        {"quant_method": "awq"},
        {"quant_method": "fp8", "weight_block_size": "x"},
        {"config_dict": {}},
        ["sliding_attention"],
    ),
    *({"attention_type": "sliding_attention", "num_attention_heads": "x"}, {"sparse_attention_freq": [1], "x": 2}),
    *({"0": {"head_dim": 0}}, {"text": {"moe": []}}, "4/8", ["full_attention", 3]),
)
# Keys that few files have, and that say something for each layer or part.
RARE = (
    *(
        "hybrid_override_pattern",
        "layers_block_type",
        "layer_types",
        "mlp_layer_types",
        "moe_layers_enum",
        "per_layer_config",
    ),
    *(
        "attention_other_setting",
        "sparse_attention_config",
        "hybrid_layer_pattern",
        "block_configs",
        "linear_attn_config",
    ),
    *(
        "loop_num",
        "mamba_step",
        "config",
        "transf_decoder",
        "encoder",
        "head",
        "adapter_config",
        "qformer_config",
        "rope_scaling",
    ),
    *(
        "text_config",
        "vision_config",
        "audio_config",
        "quantization_config",
        "architectures",
        "model_type",
        "attn_config",
    ),
)


@pytest.mark.parametrize("seed", range(8))
def test_a_file_with_mistakes_is_planned_or_refused_in_one_sentence(seed: int) -> None:
    random = Random(seed)
    for _time in range(60):
        config = copy.deepcopy(random.choice(CONFIGURATIONS))
        for _change in range(random.randint(1, 3)):
            parts = [value for value in config.values() if isinstance(value, dict)]
            part = random.choice([config, *parts])
            part[random.choice([*part, *RARE])] = copy.deepcopy(random.choice(JUNK))
        try:
            found = ModelShape.from_config(config)
        except FleetError as refused:
            assert "\n" not in str(refused)
            continue
        assert found.weights_bytes() >= 0
        assert not found.has_kv_cache or found.kv_pool(2).block_bytes > 0


PARAMS: dict[str, Any] = {
    **{"dim": 64, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "head_dim": 32, "hidden_dim": 96, "vocab_size": 100},
    **{"sliding_window": 128, "moe": {"num_experts": 4}, "quantization": {}, "vision_encoder": {}, "multimodal": {}},
}


@pytest.mark.parametrize("key", sorted(PARAMS))
def test_a_params_json_with_a_mistake_too(key: str) -> None:
    for junk in (*JUNK, {"whisper_model_args": 1}, {"whisper_model_args": {"encoder_args": {"dim": "x"}}}):
        try:
            ModelShape.from_config(mistral.config_of({**PARAMS, key: junk}))
        except FleetError as refused:
            assert "\n" not in str(refused)
