# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is just taken and just refused of a checkpoint's files, tensors and sizes; and files of every form by their names."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import (
    checkpoint,
    mistral,
    quantization,
    safetensors,
    tensors,
    weights,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.config import Config, read
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.info import ModelInfo
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.nearest import MOST, nearest
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.tensors import Tensor, TensorGroup
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import MIB

GOOD: dict[str, Any] = {"name": "a.*.weight", "dtype": "BF16", "shape": [4, 2], "count": 3, "layers": [[0, 2]]}


def test_each_file_of_a_quantization_is_read() -> None:
    assert set(checkpoint.QUANTIZATION_FILES) == set(quantization.FILES) <= set(checkpoint.SMALL_FILES)


@pytest.mark.parametrize(
    "ending",
    [
        *("bin", "pt", "pth", "ckpt", "gguf", "ggml", "onnx", "onnx_data", "h5", "msgpack", "ot", "tflite", "mlmodel"),
        *(
            "mlpackage",
            "nemo",
            "exe",
            "png",
            "jpg",
            "jpeg",
            "gif",
            "webp",
            "svg",
            "mp3",
            "mp4",
            "wav",
            "pdf",
            "ipynb",
            "PNG",
        ),
    ],
)
def test_what_no_engine_reads_is_known_by_its_ending(ending: str) -> None:
    assert not checkpoint.needed_files({f"some.{ending}": 1}, []) and checkpoint.needed_files(
        {f"some.{ending}.json": 1}, []
    )
    assert checkpoint.needed_files({f"some.{ending}": 1}, [f"some.{ending}"])


@pytest.mark.parametrize(
    ("files", "fact"),
    [
        (
            ["b.gguf", "A.GGUF", "pytorch_model.bin"],
            r"as GGUF only \(A\.GGUF\)\. Name the repository that it was made from",
        ),
        (["b.pt", "a.bin"], r"pickled files only \(a\.bin\), which are not read"),
        (["b.pth"], r"pickled files only \(b\.pth\)"),
        (["b.pt"], r"pickled files only \(b\.pt\)"),
        (["adapter_model.safetensors", "a.bin"], r"is an adapter and no model\. Name its base model here"),
        (["x/b.safetensors", "x/a.safetensors"], r"safetensors in folders \(x/a\.safetensors\)"),
        (["config.json"], "holds no weights. Name the repository that has them"),
    ],
)
def test_what_is_said_of_a_repository_without_weights(files: list[str], fact: str) -> None:
    with pytest.raises(FleetError, match=rf"w: o/m .*{fact}"):
        raise checkpoint.without_safetensors(files, "w", "o/m")


def kept(small: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return the document of a model with these small files."""
    return checkpoint.document("o/m", "c0", small, [Tensor("a", "BF16", (2,))], {"b": 3, "a": 4}, more, "w")


@pytest.mark.parametrize(
    ("file", "key"),
    [
        *(("generation_config.json", "generation_config"), ("sentence_bert_config.json", "sentence_bert_config")),
        *(("preprocessor_config.json", "processor_config"), ("processor_config.json", "processor_config")),
        ("params.json", "params"),
    ],
)
def test_a_small_file_is_kept_under_its_key(file: str, key: str) -> None:
    assert kept({file: {"a": 1}})[key] == {"a": 1}
    assert key not in kept({file: [1]}) and key not in kept({})


@pytest.mark.parametrize("file", quantization.FILES)
def test_files_of_a_quantization_are_kept_by_name(file: str) -> None:
    found = kept({file: {"quant_method": "awq"}})
    assert found["quantization"] == {file: {"quant_method": "awq"}}
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16"}
    info = ModelInfo(config, quantization=found["quantization"])
    assert ModelShape.from_config(config, info=info).quantization == "awq"


def test_a_document_is_what_is_known_of_a_model() -> None:
    found = kept(
        {"config.json": {"model_type": "llama"}, "tokenizer_config.json": {"model_max_length": 8, "x": 1}}, gated=True
    )
    assert {key: found[key] for key in ("format", "id", "commit", "gated", "disk_bytes")} == {
        **{"format": 1, "id": "o/m", "commit": "c0", "gated": True, "disk_bytes": 7}
    }
    assert found["tokenizer_config"] == {"model_max_length": 8} and found["config"] == {"model_type": "llama"}
    assert found["files"] == [{"path": "a", "bytes": 4}, {"path": "b", "bytes": 3}]
    assert found["tensors"] == [{"name": "a", "dtype": "BF16", "shape": [2], "count": 1, "layers": []}]
    assert kept({})["config"] == {} and kept({"modules.json": [{"idx": 0}]})["modules"] == [{"idx": 0}]
    # A line each, sorted, and the same when read again.
    text = checkpoint.dump(found)
    assert json.loads(text) == found and text.endswith("\n") and text.count("\n") > 12
    assert '\n "files": [\n  {"bytes": 4, "path": "a"},\n  {"bytes": 3, "path": "b"}\n ]' in text


def test_a_summary_names_class_size_licence_and_gate() -> None:
    named = {**kept({"config.json": {"architectures": ["A", "B"]}}), "licence": "mit", "gated": True}
    assert checkpoint.summary(named) == "o/m at c0: A, B, 0.00 GiB on disk, mit, gated\n"
    bare = {**kept({"config.json": {"model_type": "llama"}}), "commit": ""}
    assert checkpoint.summary(bare) == "o/m at no commit: llama, 0.00 GiB on disk, no licence named\n"
    assert "params.json alone" in checkpoint.summary(kept({}))


@pytest.mark.parametrize(
    "kinds", [["gguf", "mlx", "exl2", "exl3", "onnx", "openvino", "coreml", "litert", "x-ggml"], ["GGUF", "MLX"]]
)
def test_forms_that_no_engine_loads_are_left_out_by_name(kinds: list[str]) -> None:
    assert checkpoint.loadable([*(f"o/m-{kind}" for kind in kinds), "o/m-awq"]) == ["o/m-awq"]


def test_of_each_kind_of_quantization_the_first_comes_first() -> None:
    kinds = ["awq", "gptq", "nvfp4", "mxfp4", "fp8", "bnb", "w4a16", "int4", "int8", "4bit", "8-bit"]
    ids = [f"o/{number}-{kind}" for kind in kinds for number in (1, 2)]
    assert checkpoint.loadable([*ids, ids[0]]) == [
        one for number in "12" for one in ids if one.startswith(f"o/{number}")
    ]


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        ({"name": "n" * 1001}, "name"),
        ({"shape": [1] * 9}, "shape"),
        ({"shape": [2**24, 2**24 + 1]}, "shape"),
        ({"shape": [2**40]}, "shape"),
        ({"shape": [True]}, "shape"),
        ({"count": 2**40}, "count"),
        ({"layers": [[0, 100_000]]}, "layers"),
        ({"layers": [[-1, 2]]}, "layers"),
        ({"layers": [[0, True]]}, "layers"),
        ({"layers": [[0]]}, "layers"),
        ({"layers": [[0, 1, 2]]}, "layers"),
        ({"layers": [3]}, "layers"),
    ],
)
def test_a_group_just_beyond_its_bounds_is_refused(change: dict[str, Any], fact: str) -> None:
    with pytest.raises(FleetError, match=rf"^t\[0\]\.{fact}: .*Have model_info read the model again"):
        tensors.read_groups([{**GOOD, **change}], "t")


@pytest.mark.parametrize(
    "change",
    [
        {"name": "n" * 1000},
        {"shape": [1] * 8},
        {"shape": [2**24, 2**24]},
        {"shape": []},
        {"shape": [0]},
        {"count": 1},
        {"layers": [[0, 99_999]]},
        {"layers": [[5, 5]]},
        {"layers": None},
    ],
)
def test_a_group_just_within_its_bounds_is_taken(change: dict[str, Any]) -> None:
    (found,) = tensors.read_groups([{**GOOD, **change}], "t")
    assert found.data() == {**GOOD, **change, "layers": change.get("layers", GOOD["layers"]) or []}


def test_groups_are_a_list_of_so_many() -> None:
    for wrong in ("x", b"x", {"a": 1}, [GOOD] * 20_001):
        with pytest.raises(FleetError, match="it is no list of tensors"):
            tensors.read_groups(wrong, "t")
    assert len(tensors.read_groups([GOOD] * 20_000, "t")) == 20_000
    with pytest.raises(FleetError, match=r"t\[1\]: it is no mapping"):
        tensors.read_groups([GOOD, 3], "t")


@pytest.mark.parametrize(
    ("names", "bits"),
    [
        (("F4",), 4),
        (("F6_E2M3", "F6_E3M2"), 6),
        (("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
        (("U16", "I16", "F16", "BF16"), 16),
        (("U32", "I32", "F32"), 32),
        (("U64", "I64", "F64", "C64"), 64),
    ],
)
def test_bits_of_each_type_of_safetensors(names: tuple[str, ...], bits: int) -> None:
    for name in names:
        assert TensorGroup("w", name, (8, 3), 2).size_bytes == 2 * 3 * bits
        assert tensors.DTYPE_BITS[name] == bits


def test_numbers_in_names_are_those_between_dots() -> None:
    # Of nine digits and more none is a layer's; the first counts.
    found = tensors.group(
        [Tensor(name, "BF16", (1,)) for name in ("a.7.b.3", "a.8.b.4", "w2.x", "a.123456789.b", "a.²")]
    )
    assert [(one.name, one.count, one.layers) for one in found] == [
        *(("a.*.b.*", 2, ((7, 8),)), ("a.123456789.b", 1, ()), ("a.²", 1, ()), ("w2.x", 1, ())),
    ]
    assert found[0].elements == 2


def header(length: int, size: int) -> int:
    return safetensors.header_end(struct.pack("<Q", length) + b"{}", size, "f")


def test_a_header_fits_into_its_file_and_is_not_read_beyond_what_the_hub_reads() -> None:
    assert header(92, 100) == 100 and header(25 * MIB, 2**40) == 25 * MIB + 8
    with pytest.raises(FleetError, match="says that it is 93 bytes long, and the whole file has 100 bytes"):
        header(93, 100)
    with pytest.raises(FleetError, match=r"more than the 0\.02 GiB that are read"):
        header(25 * MIB + 1, 2**40)
    assert (safetensors.MOST_TENSORS, safetensors.FIRST_READ_BYTES) == (500_000, 100_000)


@pytest.mark.parametrize("page", [b"<html><body>", b"  <html>", b"\n<!DOCTYPE html>", b"<?xml version='1.0'"])
def test_a_web_page_is_told_in_any_case(page: bytes) -> None:
    with pytest.raises(FleetError, match="a web page"):
        safetensors.header_end(page, 10**9, "f")


@pytest.mark.parametrize(("size", "said"), [(10_737_417, "10,737,417 bytes"), (10_737_418, "0.01 GiB")])
def test_small_sizes_are_said_in_bytes(size: int, said: str) -> None:
    assert safetensors._size(size) == said


@pytest.mark.parametrize(
    ("wanted", "known", "meant"),
    [
        ("qwen/qwen3-8b", ["Qwen/Qwen3-8B", "Qwen/Qwen3-8B-AWQ"], ["Qwen/Qwen3-8B"]),
        ("Qwen3-8B", ["a/Qwen3-8B", "b/Qwen3-8B", "c/Qwen3-8B", "d/Qwen3-8B"], [f"{one}/Qwen3-8B" for one in "abc"]),
        ("abcdefghij", ["x/abcdefghzz", "x/abcdefgzzz"], ["x/abcdefghzz"]),
        ("zzzz", ["Qwen/Qwen3-8B"], []),
    ],
)
def test_ids_that_may_have_been_meant(wanted: str, known: list[str], meant: list[str]) -> None:
    assert nearest(wanted, [*known, *known]) == meant and MOST == 3


PARAMS: dict[str, Any] = {
    **{"dim": 64, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "head_dim": 32, "hidden_dim": 96, "vocab_size": 100},
    **{"sliding_window": 128},
}


def test_mistral_s_own_file_is_the_config_of_the_same_model() -> None:
    found = mistral.config_of(PARAMS)
    assert found == {
        **{"architectures": ["MistralForCausalLM"], "model_type": "mistral", "torch_dtype": "bfloat16"},
        **{"max_position_embeddings": 128_000, "tie_word_embeddings": False, "hidden_size": 64, "num_hidden_layers": 2},
        **{"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "intermediate_size": 96},
        **{"vocab_size": 100, "sliding_window": 128},
    }
    assert mistral.config_of({**PARAMS, "max_seq_len": 8, "max_position_embeddings": 9})["max_position_embeddings"] == 8
    assert mistral.config_of({**PARAMS, "max_position_embeddings": 9})["max_position_embeddings"] == 9
    assert mistral.config_of({**PARAMS, "tied_embeddings": True})["tie_word_embeddings"] is True


def test_mistral_s_own_file_may_say_how_its_weights_are_stored() -> None:
    # Devstral Small 2's and Ministral 3's: 8 bits but for both ends of the vocabulary.
    wide = ModelShape.from_config(mistral.config_of(PARAMS))
    for scheme, activation in (("TENSOR", "static"), (None, "static"), ("NO_SCALES", "dynamic")):
        stored = {"qformat_weight": "fp8_e4m3", "qscheme_act": scheme}
        config = mistral.config_of({**PARAMS, "quantization": stored})
        assert config["quantization_config"] == {"quant_method": "fp8", "activation_scheme": activation}
        found = ModelShape.from_config(config)
        assert (found.quantization, found.linear_bytes * 2) == ("fp8", wide.linear_bytes)
    packed = {"quant_method": "compressed_tensors", "config_groups": {}, "ignore": ["lm_head"]}
    found_config = mistral.config_of({**PARAMS, "quantization": packed})
    assert found_config["quantization_config"] == {**packed, "quant_method": "compressed-tensors"}
    assert "quantization_config" not in mistral.config_of({**PARAMS, "quantization": {}})
    with pytest.raises(FleetError, match="the bits of of_tomorrow can't be told apart"):
        ModelShape.from_config(mistral.config_of({**PARAMS, "quantization": {"qformat_weight": "of_tomorrow"}}))
    # Beside eyes it is the whole file's.
    eyes = {"hidden_size": 32, "num_hidden_layers": 3, "intermediate_size": 48, "image_size": 28, "patch_size": 14}
    seeing = mistral.config_of({**PARAMS, "vision_encoder": eyes, "quantization": {"qformat_weight": "fp8_e4m3"}})
    assert "quantization_config" not in seeing["text_config"]
    assert seeing["quantization_config"]["quant_method"] == "fp8"


def test_mistral_s_own_file_may_say_a_window_for_each_layer_by_turns() -> None:
    found = mistral.config_of({**PARAMS, "n_layers": 5, "sliding_window": [None, 128, 128]})
    full, window = "full_attention", "sliding_attention"
    assert (found["layer_types"], found["sliding_window"]) == ([full, window, window, full, window], 128)
    assert mistral.config_of({**PARAMS, "sliding_window": [None]})["sliding_window"] is None
    assert "layer_types" not in mistral.config_of({**PARAMS, "sliding_window": []})


def test_mistral_s_own_file_may_be_a_deepseek_s() -> None:
    latent = {"q_lora_rank": 24, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 8}
    moe = {"num_experts": 8, "num_experts_per_tok": 2, "num_shared_experts": 1, "expert_hidden_dim": 48}
    moe |= {"first_k_dense_replace": 1, "route_every_n": 1, "num_expert_groups": 1}
    config = mistral.config_of({**PARAMS, **latent, "moe": moe})
    found = ModelShape.from_config(config)
    assert (found.architecture, found.served_as) == ("MistralLarge3ForCausalLM", "MistralLarge3ForCausalLM")
    assert [(one.latent, count) for one, count in found.keeps] == [(20, 2)]
    assert found.experts is not None
    assert (found.experts.count, found.experts.per_token, found.experts.layers) == (8, 2, 1)
    assert (found.experts.intermediate_size, found.experts.shared_intermediate_size) == (48, 48)
    alone = mistral.config_of({**PARAMS, **latent, "moe": {**moe, "num_shared_experts": 0}})
    assert alone["architectures"] == ["MixtralForCausalLM"]


def test_mistral_s_own_file_may_speak_of_experts_and_eyes() -> None:
    experts = mistral.config_of({**PARAMS, "moe": {"num_experts": 8, "num_experts_per_tok": 2}})
    assert (experts["architectures"], experts["model_type"]) == (["MixtralForCausalLM"], "mixtral")
    assert (experts["num_local_experts"], experts["num_experts_per_tok"]) == (8, 2)
    eyes = {"hidden_size": 32, "num_hidden_layers": 3, "intermediate_size": 48, "image_size": 28, "patch_size": 14}
    seeing = mistral.config_of({**PARAMS, "vision_encoder": eyes})
    assert seeing["vision_config"] == {"model_type": "pixtral", **eyes} and seeing["text_config"] == mistral.config_of(
        PARAMS
    )
    assert (seeing["architectures"], seeing["model_type"]) == (["LlavaForConditionalGeneration"], "llava")
    merged = {**eyes, "mm_projector_id": "patch_merge", "spatial_merge_size": 2}
    whole = mistral.config_of({**PARAMS, "vision_encoder": merged})
    assert (whole["architectures"], whole["model_type"]) == (["Mistral3ForConditionalGeneration"], "mistral3")
    assert (whole["spatial_merge_size"], whole["torch_dtype"], seeing["torch_dtype"]) == (2, "bfloat16", "bfloat16")
    assert ModelShape.from_config(whole).encoders.kinds == ModelShape.from_config(seeing).encoders.kinds == ("vision",)


LOADING = weights.Loading(dtype_bytes=2, tied=False, layers=2)


@pytest.mark.parametrize(
    "name", ["A_log", "D", "dt_bias", "absmax", "e_score_correction_bias", "weight_scale", "scales"]
)
def test_what_a_checkpoint_holds_in_float32_on_purpose_stays(name: str) -> None:
    one = TensorGroup(f"model.layers.0.{name}", "F32", (8,), 1)
    assert weights.loaded_bytes([one], LOADING) == 8 * 4
    assert weights.loaded_bytes([TensorGroup("model.layers.0.weight", "F32", (8,), 1)], LOADING) == 8 * 2


@pytest.mark.parametrize("dtype", ["F16", "BF16", "F32", "F64"])
def test_plain_types_are_loaded_in_the_engine_s(dtype: str) -> None:
    assert weights.loaded_bytes([TensorGroup("a.weight", dtype, (8, 8), 3)], LOADING) == 3 * 64 * 2
    assert weights.loaded_bytes([TensorGroup("a.weight", "U8", (8, 8), 3)], LOADING) == 3 * 64


def test_a_head_is_loaded_but_where_it_is_the_embedding_or_none_is_wanted() -> None:
    head = [TensorGroup("lm_head.weight", "BF16", (64, 8), 1)]
    sizes = [
        weights.loaded_bytes(head, weights.Loading(2, tied, 2, head=wanted))
        for tied in (False, True)
        for wanted in (True, False)
    ]
    assert sizes == [64 * 8 * 2, 0, 0, 0]


@pytest.mark.parametrize("value", [-1, 2**40, True, 1.5, "8"])
def test_what_is_no_size_of_a_model_is_refused(value: Any) -> None:
    with pytest.raises(FleetError, match=r"config\.hidden_size: .* is no size of a model"):
        Config({"hidden_size": value}, {}).whole("hidden_size")
    with pytest.raises(FleetError, match=r"config\.n: .* is no size of a model"):
        Config({"n": [1, value]}, {}).count("n")


def test_sizes_are_from_one_and_numbers_from_zero() -> None:
    assert Config({"hidden_size": 2**40 - 1}, {}).whole("hidden_size") == 2**40 - 1
    assert Config({"n": 0, "m": 3}, {}).count("x", "n", "m") == 0
    assert Config({"n": [2, 5, 3]}, {}).count("n") == 5 and Config({"n": []}, {}).count("n") == 0
    for nothing in (0, [], [0, 0]):
        with pytest.raises(FleetError, match="is no size of a model"):
            Config({"hidden_size": nothing}, {}).whole("hidden_size")
    assert Config({"hidden_size": [0, 7]}, {}).whole("hidden_size") == 7
    with pytest.raises(FleetError, match=r"config: it has no hidden_size\. Hand over the model's whole config\.json"):
        Config({}, {"hidden_size": 8}).whole("hidden_size")
    assert Config({"m": 4}, {}).needed("n", "m") == 4 and Config({}, {}).whole("hidden_size", 9) == 9


def test_a_size_for_each_layer_is_one_for_all_or_a_list_of_enough() -> None:
    assert Config({"n": 3}, {}).by_layer("n", 2, 1) == (3, 3) and Config({}, {}).by_layer("n", 2, 1) == (1, 1)
    assert Config({"n": [0, 5, 6]}, {}).by_layer("n", 2, 1) == (0, 5)
    with pytest.raises(FleetError, match=r"config\.n: '\[5\]' is no size of a model"):
        Config({"n": [5]}, {}).by_layer("n", 2, 1)


@pytest.mark.parametrize(
    ("key", "names"),
    [
        # GPT-2 and Bloom, ChatGLM and Falcon of old, MPT, Whisper, LFM2, OPT, in any order.
        ("hidden_size", ("n_embd", "n_embed", "d_model", "model_dim")),
        ("num_hidden_layers", ("n_layer", "num_layers", "n_layers")),
        ("num_attention_heads", ("n_head", "num_heads", "n_heads", "decoder_attention_heads")),
        ("num_key_value_heads", ("n_head_kv", "num_kv_heads", "multi_query_group_num")),
        (
            "intermediate_size",
            ("n_inner", "ffn_dim", "ffn_hidden_size", "decoder_ffn_dim", "block_ff_dim", "mlp_hidden_size"),
        ),
        ("max_position_embeddings", ("n_positions", "max_seq_len", "seq_length", "max_target_positions")),
        ("vocab_size", ("padded_vocab_size",)),
    ],
)
def test_a_size_goes_by_any_of_its_names(key: str, names: tuple[str, ...]) -> None:
    for name in names:
        assert Config({name: 7}, {}).whole(key) == 7
        # Its own name goes before, and what the class takes by itself behind any.
        assert Config({name: 7, key: 8}, {}).whole(key) == 8
        assert read({"model_type": "llama", name: 7}, "config").whole(key) == 7
    assert Config({"attn_config": {"kv_n_heads": 7}}, {}).whole("num_key_value_heads") == 7


@pytest.mark.parametrize(
    ("value", "numbers"),
    [
        ([1, 2], (1, 2)),
        ((3,), (3,)),
        ([], ()),
        ([1, "2"], None),
        ([1, True], None),
        ([True, 1], None),
        (3, None),
        ("12", None),
    ],
)
def test_a_list_of_numbers_is_one_of_whole_numbers_alone(value: Any, numbers: tuple[int, ...] | None) -> None:
    assert Config({"n": value}, {}).numbers("n") == numbers


@pytest.mark.parametrize(
    ("value", "words"),
    [(["a", "b"], ("a", "b")), ([], None), (["a", 1], None), ("ab", None), (b"ab", None), (None, None)],
)
def test_a_list_of_words_is_one_of_words_alone(value: Any, words: tuple[str, ...] | None) -> None:
    assert Config({"n": value}, {}).words("n") == words


def test_a_switch_is_a_word_of_the_part_or_of_the_whole() -> None:
    assert Config({"a": True}, {"a": False}).flag("a") and Config({}, {"a": True}).flag("x", "a")
    assert not Config({"a": 1}, {}).flag("a") and Config({"a": "x"}, {}).flag("a", default=True)
    assert Config({"a": None}, {"a": 3}).get("a") == 3 and Config({}, {}).get("a", default=4) == 4
    assert Config({"a": {"b": 5}}, {}).get("a.b") == 5 and Config({"a": 5}, {}).get("a.b") is None


def test_what_is_left_out_is_what_the_class_takes_and_null_is_nothing() -> None:
    left = read({"model_type": "mixtral"}, "config")
    assert (left.whole("num_local_experts"), left.nested) == (8, False)
    assert read({"model_type": "mixtral", "num_local_experts": None}, "config").own("num_local_experts") is None
    nested = read({"model_type": "llava", "text_config": {"hidden_size": 64}}, "config")
    # LLaVA asks the section for its type, and takes a Llama where it says none.
    assert nested.nested and (nested.whole("hidden_size"), nested.whole("vocab_size")) == (64, 32000)
    other = read({"model_type": "llava", "text_config": {"model_type": "mistral", "hidden_size": 64}}, "config")
    assert other.whole("intermediate_size") == 14336
    # Qwen2-VL's own class is asked whatever its section says.
    seeing = read({"model_type": "qwen2_vl", "text_config": {"model_type": "llama", "hidden_size": 64}}, "config")
    assert seeing.whole("vocab_size") == 152064
    # Voxtral hands a Llama of its own sizes on; an older file has the language part at its top.
    assert read({"model_type": "voxtral", "text_config": {"hidden_size": 64}}, "config").whole("vocab_size") == 131072
    assert read({"model_type": "qwen2_vl", "hidden_size": 64}, "config").whole("vocab_size") == 152064
    whole = {
        "model_type": "qwen2_5_omni",
        "thinker_config": {"model_type": "qwen2_5_omni_thinker", "text_config": {"hidden_size": 64}},
    }
    assert read(whole, "config").whole("vocab_size") == 152064
    for wrong in (None, 3, "x"):
        with pytest.raises(FleetError, match="it is not a mapping"):
            read(wrong, "config")
