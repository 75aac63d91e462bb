# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys of a config.json, one at a time left out or changed, beside what the class makes of that (tests/support/class_defaults.py)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape
from ansible_collections.gpuserve.fleet.tests.support.class_defaults import with_value

DATA = Path(__file__).parents[5] / "data"
CONFIGURATIONS = {entry["id"]: entry for entry in json.loads((DATA / "class_parameters.json").read_text())}
ASKED = json.loads((DATA / "class_defaults.json").read_text())
# vLLM reads these types by another class than transformers does.
READ_OTHERWISE = json.loads((DATA / "class_names.json").read_text())["own_types"]
TIES = "tie_word_embeddings"
COHERE_ASR, MIMO = "CohereLabs/cohere-transcribe-03-2026", "XiaomiMiMo/MiMo-V2-Flash"
PHI = "phi4_multimodal (the class's own figures)"
# What a class takes by itself and the planner doesn't, with the reason.
LEFT_OUT_OTHERWISE = {
    # A file that is silent of the whole model and not of its language part: the engine then asks the checkpoint for an output layer
    # (vLLM, config/model.py: maybe_untie_word_embeddings).
    **dict.fromkeys(
        (
            *(("OpenGVLab/InternVL3-8B-hf", TIES), ("mistralai/Mistral-Small-3.1-24B", TIES)),
            *(
                (f"{name} (the class's own figures)", TIES)
                for name in ("glmasr", "granite_speech", "granite_speech_plus", "granite4_vision")
            ),
        ),
        "the checkpoint says it",
    ),
    # Of a latent the planner reads ranks and dimensions of their own, and never a head's.
    **dict.fromkeys(
        (
            *(("deepseek-ai/DeepSeek-V3", "head_dim"), ("llava over deepseek_v3", "text_config.head_dim")),
            ("skt/A.X-K1", "head_dim"),
        ),
        "no use",
    ),
    # What every file of these has: without it the class makes a model that nobody trained.
    ("LiquidAI/LFM2-1.2B", "layer_types"): "or full_attn_idxs",
    ("llava over nemotron_h", "text_config.layers_block_type"): "or hybrid_override_pattern",
    ("nvidia/Nemotron-H-8B", "hybrid_override_pattern"): "or layers_block_type",
    ("openai/whisper-large-v3", "encoder_layers"): "num_hidden_layers is its other name",
    ("granite4_vision (the class's own figures)", "downsample_rate"): "no model without it",
    **{
        (COHERE_ASR, f"encoder_config.{key}"): "written"
        for key in ("hidden_size", "num_hidden_layers", "intermediate_size", "num_mel_bins")
    },
    **{
        ("zamba2 (the class's own figures)", key): "written"
        for key in ("layers_block_type", "intermediate_size", "attention_head_dim", "hybrid_layer_ids")
    },
    **{
        ("olmo_hybrid (the class's own figures)", f"linear_{key}"): "written"
        for key in ("num_key_heads", "num_value_heads", "key_head_dim", "value_head_dim")
    },
}
# Where the planner's count is not the class's to a thousandth, with the reason.
COUNTED_OTHERWISE = {
    # Heads in vLLM's decoder are as wide as the model has room for, its output layer is one of its own (models/cohere_asr.py).
    **{
        (COHERE_ASR, key): "as wide"
        for key in (
            *("hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim"),
            *("encoder_config.num_key_value_heads", TIES),
        )
    },
    # Lists say it for each layer, and windows have heads of their own, which this class does not ask (vLLM, models/mimo_v2.py).
    **{
        (MIMO, key): "by layer"
        for key in ("num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "v_head_dim")
    },
    ("Salesforce/blip2-opt-2.7b", "text_config.hidden_size"): "word_embed_proj_dim, as above",
    ("step3p7 (the class's own figures)", "vision_config.intermediate_size"): "mlp_ratio says it",
    ("databricks/dbrx-instruct", "num_key_value_heads"): "attn_config says it",
    ("mosaicml/mpt-7b", "expansion_ratio"): "the class takes four, vLLM what is written (models/mpt.py)",
    # Of SigLIP's layers and head a part is not loaded (test_class_parameters.py).
    **{(PHI, key): "loaded in part" for row in ASKED if row["id"] == PHI for key in row["changed"]},
    ("facebook/opt-1.3b", "hidden_size"): "its embedding is of another width, word_embed_proj_dim, in the 350m alone",
    ("laguna (the class's own figures)", "gating"): "every file has a gate",
    ("nvidia/Nemotron-H-8B", "layers_block_type"): "hybrid_override_pattern says it too, and goes before",
    ("nvidia/Nemotron-H-8B", TIES): "the class never ties them",
    # The planner reads a file's first name of two, the class the second.
    ("openai/whisper-large-v3", "encoder_layers"): "two names",
    ("openai/whisper-large-v3", "num_hidden_layers"): "two names",
    ("openai/whisper-large-v3", TIES): "vLLM ties them whatever the file says (models/whisper.py)",
    # The class sizes these by heads of a written size; encoders in vLLM are as wide as the model.
    **{
        ("glmasr (the class's own figures)", f"audio_config.num_{key}"): "as wide"
        for key in ("attention_heads", "key_value_heads")
    },
    **{
        ("nomic_bert (the class's own figures)", key): "as wide"
        for key in ("hidden_size", "num_attention_heads", "head_dim")
    },
    ("zamba2 (the class's own figures)", TIES): "untied, the class shares no block either",
    ("kimi_linear (the class's own figures)", TIES): "the class never ties them",
}


def is_tie_of_a_part(config: dict[str, Any], name: str) -> bool:
    """Of a multimodal model transformers asks the language part, vLLM the whole file first (config/vllm.py: with_hf_config)."""
    return name.endswith(TIES) and any(isinstance(config.get(key), dict) for key in ("text_config", "audio_config"))


def place(name: str) -> tuple[str, str]:
    """Return the section and the key."""
    section, _dot, key = name.rpartition(".")
    return section, key


@pytest.mark.parametrize("row", ASKED, ids=lambda row: str(row["id"]))
def test_a_key_left_out_is_the_value_that_the_class_takes(row: dict[str, Any]) -> None:
    config = CONFIGURATIONS[row["id"]]["config"]
    if config["model_type"] in READ_OTHERWISE:
        return
    for name, value in row["left_out"].items():
        if (row["id"], name) not in LEFT_OUT_OTHERWISE:
            found = ModelShape.from_config(with_value(config, *place(name)))
            assert found == ModelShape.from_config(with_value(config, *place(name), value)), name


@pytest.mark.parametrize("row", ASKED, ids=lambda row: str(row["id"]))
def test_parameters_follow_a_changed_key_as_those_of_the_class_do(row: dict[str, Any]) -> None:
    config = CONFIGURATIONS[row["id"]]["config"]
    for name, (value, parameters, off) in row["changed"].items():
        changed = with_value(config, *place(name), value)
        if off is None:
            with pytest.raises(FleetError):
                ModelShape.from_config(changed)
            continue
        # What is off is known to the parameter, as that of the configuration itself.
        assert ModelShape.from_config(changed).parameters() - parameters == off, name
        known = (row["id"], name) in COUNTED_OTHERWISE or is_tie_of_a_part(config, name)
        assert abs(off) <= parameters / 1000 or known, name


def test_what_is_otherwise_is_there() -> None:
    names = {
        (row["id"], name): row["changed"].get(name) for row in ASKED for name in {*row["left_out"], *row["changed"]}
    }
    assert not set(LEFT_OUT_OTHERWISE) - set(names) and not set(COUNTED_OTHERWISE) - set(names)
    # An exception that is none any more is taken out.
    for (id_, name), (_value, parameters, off) in ((key, names[key]) for key in COUNTED_OTHERWISE):
        assert abs(off) > parameters / 1000, (id_, name)
