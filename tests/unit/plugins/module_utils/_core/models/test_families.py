# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the layers of single families keep, by hand from vLLM's own classes, and files that say the same in other words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import mistral, projectors, tasks
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.config import Config
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.counted import Keeps
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.info import ModelInfo
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.kv_pool import Kind
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape

DATA = Path(__file__).parents[5] / "data"
CONFIGURATIONS = {
    entry["id"]: entry["config"]
    for name in ("class_parameters.json", "published_parameters.json")
    for entry in json.loads((DATA / name).read_text())
}
REALTIME = CONFIGURATIONS["mistralai/Voxtral-Mini-4B-Realtime-2602"]
MIMO = CONFIGURATIONS["XiaomiMiMo/MiMo-V2-Flash"]
M3 = CONFIGURATIONS["minimax_m3 (the class's own figures)"]
STEP = CONFIGURATIONS["step3p7 (the class's own figures)"]
COHERE = CONFIGURATIONS["CohereLabs/cohere-transcribe-03-2026"]
# Kanana's, of small sizes.
ABSTRACTOR = {
    **{"hidden_size": 12, "depth": 2, "merge_size": 2, "pos_emb_size": 10, "pos_emb": True, "mlp_depth": 2},
}
GRANITE = CONFIGURATIONS["granite4_vision (the class's own figures)"]


def with_text(config: dict[str, Any], **values: Any) -> dict[str, Any]:
    """A configuration with other values of its language part."""
    return {**config, "text_config": {**config["text_config"], **values}}


def test_an_encoder_that_hears_while_it_speaks_keeps_a_window() -> None:
    found = ModelShape.from_config(REALTIME)
    # Four steps become a token: 4 x 32 heads of 64, and a window of 750 / 4 tokens, and one more for its edge.
    spoken, heard = (Keeps(Kind.SLIDING, 8, 128, span=8192), 26), (Keeps(Kind.SLIDING, 128, 64, span=189), 32)
    assert found.keeps == (spoken, heard)
    assert (found.task, found.architecture) == ("transcribe", "MistralForCausalLM")
    # Pages of both are as large as the encoder's, of 16 tokens; so many layers as there are of the more share one.
    pool = found.kv_pool(2)
    assert pool.block_bytes == 32 * 16 * 2 * 128 * 64 * 2
    assert [(group.block_tokens, group.span) for group in pool.groups] == [(128, 8192), (16, 189)]
    shorter = {**REALTIME, "audio_config": {**REALTIME["audio_config"], "sliding_window": 749}}
    assert ModelShape.from_config(shorter).keeps[1][0].span == 189
    twice = {**REALTIME, "downsample_factor": 2}
    assert ModelShape.from_config(twice).keeps[1] == (Keeps(Kind.SLIDING, 64, 64, span=376), 32)


def params(causal: bool) -> dict[str, Any]:
    """A Voxtral's params.json."""
    encoder: dict[str, Any] = {
        "dim": 1280,
        "hidden_dim": 5120,
        "n_layers": 32,
        "n_heads": 32,
        "head_dim": 64,
        "vocab_size": 131072,
    }
    encoder |= {"audio_encoding_args": {"num_mel_bins": 128, "sampling_rate": 16000}}
    encoder |= {"causal": True, "sliding_window": 750} if causal else {"max_source_positions": None, "n_heads": 20}
    return {
        **{"dim": 3072, "n_layers": 26, "head_dim": 128, "hidden_dim": 9216, "n_heads": 32, "n_kv_heads": 8},
        **{"vocab_size": 131072, "tied_embeddings": True, "max_position_embeddings": 131072, "sliding_window": 8192},
        "multimodal": {
            "whisper_model_args": {"encoder_args": encoder, "downsample_args": {"downsample_factor": 4}},
        },
    }


def test_a_voxtral_s_own_file_is_the_config_of_the_same_model() -> None:
    found, written = ModelShape.from_config(mistral.config_of(params(True))), ModelShape.from_config(REALTIME)
    assert (found.parameters(), found.keeps, found.encoders) == (written.parameters(), written.keeps, written.encoders)
    assert (found.served_as, found.task) == ("VoxtralRealtimeGeneration", "transcribe")
    other = ModelShape.from_config(mistral.config_of(params(False)))
    assert (other.served_as, other.task, other.encoders.kinds) == (
        "VoxtralForConditionalGeneration",
        "generate",
        ("audio",),
    )
    assert len(other.keeps) == 1
    # What it waits turns nothing, and an encoder of Whisper's has no gates.
    silent = mistral.config_of({**params(True), "multimodal": {"whisper_model_args": {}}})
    assert silent["architectures"] == ["MistralForCausalLM"]


def test_values_may_be_narrower_than_keys_and_windows_have_heads_of_their_own() -> None:
    found = ModelShape.from_config(MIMO)
    assert found.keeps == (
        (Keeps(Kind.FULL, 4, 192, value_dim=128), 9),
        (Keeps(Kind.SLIDING, 8, 192, span=128, value_dim=128), 39),
    )
    full, window = (one.spec(2, 2, 1) for one, _count in found.keeps)
    assert (full.unit_bytes, window.unit_bytes) == (4 * (192 + 128) * 2, 8 * (192 + 128) * 2)
    # The same in transformers' words.
    kinds = ["sliding_attention" if one else "full_attention" for one in MIMO["hybrid_layer_pattern"]]
    other = {key: value for key, value in MIMO.items() if key != "hybrid_layer_pattern"}
    assert ModelShape.from_config({**other, "layer_types": kinds}).keeps == found.keeps
    # Values of windows are those of all where nothing else is said.
    alone = {key: value for key, value in MIMO.items() if key != "swa_v_head_dim"}
    assert ModelShape.from_config(alone).keeps == found.keeps
    assert ModelShape.from_config({**MIMO, "swa_v_head_dim": 64}).keeps[1][0].value_dim == 64


def test_an_indexer_beside_heads_keeps_a_key_in_the_layers_that_have_one() -> None:
    plain = ModelShape.from_config(M3)
    sparse = {"sparse_num_index_heads": 4, "sparse_index_dim": 128, "sparse_attention_freq": [0] * 3 + [1] * 57}
    found = ModelShape.from_config(with_text(M3, sparse_attention_config=sparse))
    assert found.keeps == (*plain.keeps, (Keeps(Kind.FULL, latent=128), 57))
    assert found.parameters() - plain.parameters() == 57 * (5 * 128 * 6144 + 2 * 128)
    assert found.experts is not None
    assert (found.experts.layers, found.experts.intermediate_size, found.dense_size) == (57, 3072, 12288)


def test_step_s_windows_have_more_heads() -> None:
    found = ModelShape.from_config(STEP)
    assert found.keeps == ((Keeps(Kind.FULL, 8, 128), 12), (Keeps(Kind.SLIDING, 8, 128, span=512), 33))
    # The words of the repository's own code.
    text = {
        key: value
        for key, value in STEP["text_config"].items()
        if key not in ("num_sliding_attention_heads", "mlp_layer_types", "num_key_value_heads", "n_routed_experts")
    }
    other = {"attention_type": "sliding_attention", "num_attention_heads": 96, "num_key_value_heads": 4}
    text |= {"num_attention_groups": 8, "moe_num_experts": 288, "moe_layers_enum": ", ".join(map(str, range(3, 45)))}
    told = ModelShape.from_config({**STEP, "text_config": {**text, "attention_other_setting": other}})
    assert told.experts == found.experts
    assert told.keeps == (found.keeps[0], (Keeps(Kind.SLIDING, 4, 128, span=512), 33))
    full = {**other, "attention_type": "full_attention"}
    told = ModelShape.from_config({**STEP, "text_config": {**text, "attention_other_setting": full}})
    assert told.keeps == found.keeps
    assert found.parameters() - told.parameters() == 33 * 32 * (2 * 128 + 1) * 4096
    # A gate is a number a head, where there is one.
    ungated = ModelShape.from_config(with_text(STEP, use_head_wise_attn_gate=False))
    assert found.parameters() - ungated.parameters() == (12 * 64 + 33 * 96) * 4096


def test_one_that_looks_both_ways_keeps_nothing() -> None:
    found = ModelShape.from_config(CONFIGURATIONS["openai/privacy-filter"])
    assert (found.keeps, found.task, found.tied_embeddings) == ((), "classify", True)


COHERE_S_WORDS: dict[str, Any] = {
    **{"architectures": ["CohereAsrForConditionalGeneration"], "model_type": "cohere_asr", "torch_dtype": "bfloat16"},
    "encoder": {
        **{"feat_in": 128, "n_layers": 48, "d_model": 1280, "ff_expansion_factor": 4, "n_heads": 8},
        **{"subsampling_factor": 8, "subsampling_conv_channels": 256, "conv_kernel_size": 9},
    },
    "transf_decoder": {
        "config_dict": {
            **{"hidden_size": 1024, "inner_size": 4096, "num_layers": 8, "num_attention_heads": 8},
            **{"max_sequence_length": 1024, "hidden_act": "relu"},
        },
    },
    "head": {"num_classes": 16384, "hidden_size": 1024},
}


@pytest.mark.parametrize("config", [COHERE, COHERE_S_WORDS], ids=["transformers", "its own"])
def test_a_transcriber_keeps_its_tokens_and_what_it_heard(config: dict[str, Any]) -> None:
    found = ModelShape.from_config(config)
    assert found.keeps == ((Keeps(Kind.FULL, 8, 128), 8), (Keeps(Kind.CROSS, 8, 128, span=438), 8))
    assert found.parameters() == ModelShape.from_config(COHERE).parameters()
    assert (found.task, found.length.most, found.encoders.kinds) == ("transcribe", 1024, ("audio",))
    wider = {**COHERE_S_WORDS, "encoder": {**COHERE_S_WORDS["encoder"], "feat_in": 64}}
    assert ModelShape.from_config(wider).parameters() < found.parameters()


@pytest.mark.parametrize("said", ["half", "4", "0/8", "4/0", None])
def test_a_share_of_a_window_that_is_none_is_refused(said: str | None) -> None:
    with pytest.raises(FleetError, match=r"config.downsample_rate: .* is no share of a window, like 4/8"):
        ModelShape.from_config({**GRANITE, "downsample_rate": said})


def test_granite_s_windows_are_asked_for_each_layer_and_corner() -> None:
    found = ModelShape.from_config(GRANITE)
    fewer = ModelShape.from_config({**GRANITE, "deepstack_layer_map": GRANITE["deepstack_layer_map"][:3]})
    none = ModelShape.from_config({**GRANITE, "use_spatial_sampling": False})
    one = found.parameters() - fewer.parameters()
    assert found.parameters() - none.parameters() == 4 * one
    finer = ModelShape.from_config({**GRANITE, "downsample_rate": "2/8"})
    assert found.parameters() - finer.parameters() == 8 * (16 - 4) * 1152


PLAMO = CONFIGURATIONS["pfnet/plamo-2-8b"]


def test_plamo_s_layers_take_turns() -> None:
    found = ModelShape.from_config(PLAMO)
    state = Keeps(Kind.STATE, convolved=64 * 128 * 3, recurrent=64 * 128 * 64)
    assert found.keeps == ((state, 16), (Keeps(Kind.FULL, 4, 128), 16))
    # One in four, the one in the middle; the last one alone of too few.
    assert ModelShape.from_config({**PLAMO, "mamba_step": 4}).keeps == (
        (state, 24),
        (Keeps(Kind.FULL, 4, 128), 8),
    )
    few = ModelShape.from_config({**PLAMO, "num_hidden_layers": 3, "mamba_step": 8})
    assert few.keeps == ((state, 2), (Keeps(Kind.FULL, 4, 128), 1))


def test_glm_4v_sees_beside_the_chatglm_that_speaks() -> None:
    glm = CONFIGURATIONS["zai-org/glm-4v-9b"]
    found, blind = ModelShape.from_config(glm), ModelShape.from_config({**glm, "vision_config": {}})
    assert found.encoders.kinds == ("vision",)
    assert found.keeps == blind.keeps == ((Keeps(Kind.FULL, 2, 128), 40),)
    assert (found.encoders.tokens, found.task) == (1602, "generate")
    # Under the name that its file has, the engine refuses to start.
    for name in ("ChatGLMModel", "ChatGLMForConditionalGeneration"):
        with pytest.raises(FleetError, match=f"vLLM serves {name} as one that only reads, and this one sees"):
            ModelShape.from_config({**glm, "architectures": [name]}, weights_bytes=2**34)
    assert ModelShape.from_config({**glm, "architectures": ["ChatGLMModel"], "vision_config": None}).known


def test_kimi_audio_hears_though_its_file_says_nothing_of_ears() -> None:
    kimi = CONFIGURATIONS["moonshotai/Kimi-Audio-7B-Instruct"]
    found = ModelShape.from_config(kimi)
    # openai/whisper-large-v3's encoder, four steps as one, two layers and a norm.
    assert found.encoders.parameters == 636_968_960 + (5120 + 1) * 3584 + (3584 + 1) * 3584 + 2 * 3584
    assert (found.encoders.kinds, found.encoders.tokens) == (("audio",), 375)


def test_moondream_s_file_says_nothing_and_its_own_words_are_read() -> None:
    moondream = CONFIGURATIONS["moondream/moondream3-preview"]
    found = ModelShape.from_config(moondream)
    assert found.keeps == ((Keeps(Kind.FULL, 32, 64), 24),)
    assert found.experts is not None
    assert (found.experts.layers, found.experts.count, found.experts.per_token) == (20, 64, 8)
    assert (found.length.most, found.encoders.tokens, found.encoders.patches) == (4096, 730, 730 * 13)
    own = {"text": {"n_layers": 20, "n_kv_heads": 16, "moe": {"start_layer": 2}}, "vision": {"enc_n_layers": 26}}
    told = ModelShape.from_config({**moondream, "config": own})
    assert told.keeps == ((Keeps(Kind.FULL, 16, 64), 20),)
    assert told.experts is not None
    assert told.experts.layers == 18
    layer = 4 * 1152 * 1152 + 2 * 1152 * 4304 + 9 * 1152 + 4304
    assert found.encoders.parameters - told.encoders.parameters == layer
    # A file in the words of others is read as it is.
    words = {"text_config": {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 100}}
    assert ModelShape.from_config({**moondream, **words}).layers == 2


@pytest.mark.parametrize(
    ("whole", "parameters"),
    [
        # Blocks of RegNet by hand: 602 + 555 before patches are merged, 1,812 + 555 after; positions; two layers.
        ({"projector_config": ABSTRACTOR}, 80 + 1157 + 2367 + 13 * 64 + 65 * 64),
        ({"projector_config": {**ABSTRACTOR, "pos_emb": False}}, 1157 + 2367 + 13 * 64 + 65 * 64),
        ({"projector_config": {**ABSTRACTOR, "mlp_depth": 3}}, 80 + 1157 + 2367 + 13 * 64 + 2 * 65 * 64),
        # Of the width that comes in, a block has no way around: three and three of 290.
        ({"mm_projector_type": "cabstractor"}, 4 * 8 + 6 * 290 + 9 * 64 + 65 * 64),
        ({"mm_projector_type": "linear"}, 9 * 64),
        ({"mm_projector_type": "mlp"}, 9 * 8 + 9 * 64),
        ({"mm_projector_type": "inverted_mlp"}, 9 * 16 + 17 * 64),
    ],
)
def test_what_an_abstractor_is_made_of(whole: dict[str, Any], parameters: int) -> None:
    section = {"image_size": 28, "patch_size": 14}
    config = Config({"hidden_size": 64}, {"hidden_size": 64, **whole})
    for family in ("kanana_v", "hyperclovax_vlm"):
        assert projectors.parameters(family, Config(section, section), config, 8) == parameters


def test_cohere_s_encoder_is_as_many_times_as_wide_inside_as_its_file_says() -> None:
    found = ModelShape.from_config(COHERE_S_WORDS)
    for times, inner in ((2, 2560), (None, 5120)):
        encoder = {key: value for key, value in COHERE_S_WORDS["encoder"].items() if key != "ff_expansion_factor"}
        encoder |= {"ff_expansion_factor": times} if times else {}
        told = ModelShape.from_config({**COHERE_S_WORDS, "encoder": encoder})
        assert told.encoders.intermediate_size == inner
        # Two MLPs a layer, with a bias at each end.
        assert found.parameters() - told.parameters() == 48 * 2 * (5120 - inner) * (2 * 1280 + 1)


LOOP = CONFIGURATIONS["IQuestLab/IQuest-Coder-V1-40B-Loop-Instruct"]


def test_a_looped_coder_keeps_a_window_of_each_time_again() -> None:
    found = ModelShape.from_config(LOOP)
    assert found.keeps == ((Keeps(Kind.FULL, 8, 128), 80), (Keeps(Kind.SLIDING, 8, 128, span=64), 80))
    thrice = ModelShape.from_config({**LOOP, "loop_num": 3, "loop_window_size": 32})
    assert thrice.keeps == ((Keeps(Kind.FULL, 8, 128), 80), (Keeps(Kind.SLIDING, 8, 128, span=32), 160))
    # How much of each time counts is made of what a head asks, by a layer with biases.
    once = ModelShape.from_config({**LOOP, "loop_num": 1})
    assert once.keeps == ((Keeps(Kind.FULL, 8, 128), 80),)
    assert found.parameters() - once.parameters() == 80 * (128 + 1) * 40


def test_dasheng_s_tables_are_one_for_each_axis() -> None:
    dasheng = CONFIGURATIONS["mispeech/midashenglm-7b"]
    found = ModelShape.from_config(dasheng)
    assert (found.encoders.kinds, found.task) == (("audio",), "generate")

    def other(**values: Any) -> int:
        encoder = {**dasheng["audio_encoder_config"], **values}
        return ModelShape.from_config({**dasheng, "audio_encoder_config": encoder}).encoders.parameters

    own = found.encoders.parameters
    assert other(target_length=2016) - own == 252 * 1280
    assert other(patch_size=16, patch_stride=16) - own == (63 + 4 - 252 - 1) * 1280
    assert other(input_channels=2) - own == 64 * 4 * 1280
    assert other(n_mels=128) - own == 1280 + 128
    assert other(init_values=1e-5) - own == 32 * 2 * 1280
    assert own - other(mlp_ratio=2) == 32 * 2560 * (2 * 1280 + 1)
    assert other(mlp_ratio="4") == own


@pytest.mark.parametrize("name", ["UltravoxModel", "Qwen2_5OmniModel", "MiDashengLMModel", "MossAudioModel"])
def test_what_hears_and_speaks_embeds_nothing(name: str) -> None:
    config = {"architectures": [name], "model_type": "x"}
    assert tasks.told(config, ModelInfo(config)) == "generate"
    assert not tasks.is_pooling_class(config)


def test_intern_s_preview_is_built_like_qwen_s() -> None:
    text: dict[str, Any] = {
        "model_type": "qwen3_5_moe_text",
        "hidden_size": 64,
        "num_hidden_layers": 4,
        "vocab_size": 128,
    }
    text |= {"num_attention_heads": 2, "num_key_value_heads": 1, "num_experts": 4, "moe_intermediate_size": 32}
    eyes = {"hidden_size": 32, "depth": 2, "num_heads": 2, "intermediate_size": 48, "out_hidden_size": 64}
    config: dict[str, Any] = {"architectures": ["Qwen3_5MoeForConditionalGeneration"], "model_type": "qwen3_5_moe"}
    config |= {"text_config": text, "vision_config": {"model_type": "qwen3_5_moe", **eyes}}
    like = ModelShape.from_config(config)
    name = "InternS2PreviewForConditionalGeneration"
    found = ModelShape.from_config({**config, "architectures": [name], "ts_config": {"hidden_size": 8, "depth": 2}})
    assert (found.parameters(), found.keeps, found.encoders) == (like.parameters(), like.keeps, like.encoders)


@pytest.mark.parametrize("name", ["Plamo3ForCausalLM", "Rnj1ForCausalLM"])
def test_norms_before_and_after(name: str) -> None:
    # Source: vLLM, models/plamo3.py and rnj1.py: around attention, and around the MLP.
    llama = {key: value for key, value in LOOP.items() if not key.startswith("loop")}
    plain, found = (ModelShape.from_config({**llama, "architectures": [one]}) for one in ("Qwen3ForCausalLM", name))
    assert found.parameters() - plain.parameters() == 80 * 2 * 5120


def test_an_empty_pattern_is_none() -> None:
    kinds = ["full_attention", "sliding_attention"] * 40
    llama = {key: value for key, value in LOOP.items() if not key.startswith("loop")}
    written = {**llama, "layer_types": kinds, "sliding_window": 128}
    assert ModelShape.from_config({**written, "hybrid_override_pattern": ""}) == ModelShape.from_config(written)


def test_a_transcriber_without_ears_is_refused() -> None:
    said: Any
    for said in (None, {}, 2**40):
        with pytest.raises(
            FleetError, match=r"config.audio_config: the class has such an encoder, and the file says nothing"
        ):
            ModelShape.from_config({**REALTIME, "audio_config": said})


def test_a_layer_of_longcat_s_is_two() -> None:
    longcat = CONFIGURATIONS["meituan-longcat/LongCat-Flash-Chat"]
    found = ModelShape.from_config(longcat)
    assert found.keeps == ((Keeps(Kind.FULL, latent=576), 56),)
    assert found.experts is not None
    assert (found.experts.count, found.experts.layers, found.dense_size) == (512, 28, 12288)
    # As transformers' class writes it.
    assert ModelShape.from_config({**longcat, "num_hidden_layers": 56}) == found
    assert (
        found.parameters() - ModelShape.from_config({**longcat, "zero_expert_num": 0}).parameters() == 28 * 256 * 6144
    )


def test_of_an_unknown_class_three_sizes_are_needed() -> None:
    config: dict[str, Any] = {
        "architectures": ["OfTomorrowForCausalLM"],
        "model_type": "of_tomorrow",
        "vocab_size": 100,
    }
    config |= {"decoder": {"num_hidden_layers": 2}}
    asked = "Write num_hidden_layers, hidden_size, num_attention_heads of its decoder into the entry's config"
    with pytest.raises(FleetError, match=rf"config.num_hidden_layers: nothing is known of this class.*{asked}"):
        ModelShape.from_config(config, weights_bytes=2**30)
    sizes = {"num_hidden_layers": 2, "hidden_size": 64}
    with pytest.raises(FleetError, match=r"config.num_attention_heads: .*Write num_attention_heads of its decoder"):
        ModelShape.from_config({**config, **sizes}, weights_bytes=2**30)
    found = ModelShape.from_config({**config, **sizes, "num_attention_heads": 2}, weights_bytes=2**30)
    assert found.keeps == ((Keeps(Kind.FULL, 2, 32), 2),)
