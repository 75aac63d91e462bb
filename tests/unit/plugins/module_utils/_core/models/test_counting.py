# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bounds and laws of counting, by hand: what a layer keeps, which files are read and how far, parts of rare architectures."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import checkpoint
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.counted import Keeps
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.info import ModelInfo
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.kv_pool import CacheSpec, Kind
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.tensors import (
    MOST_GROUPS,
    Tensor,
    read_groups,
)

MIB = 1024 * 1024


def test_small_files_and_how_much_of_each_is_read() -> None:
    assert checkpoint.SMALL_FILES == {
        "config.json": 8 * MIB,
        "generation_config.json": MIB,
        "tokenizer_config.json": 32 * MIB,
        "sentence_bert_config.json": MIB,
        "modules.json": MIB,
        "hf_quant_config.json": 8 * MIB,
        "quantize_config.json": 8 * MIB,
        "quant_config.json": 8 * MIB,
        "params.json": 8 * MIB,
        "preprocessor_config.json": MIB,
        "processor_config.json": MIB,
        "model.safetensors.index.json": 64 * MIB,
    }


@pytest.mark.parametrize(
    "name", ["a.bin", "a.PT", "a.gguf", "a.onnx_data", "a.jpeg", "a.jpg", "a.mp4", "a.ipynb", "a.h5"]
)
def test_what_no_engine_reads_is_not_fetched(name: str) -> None:
    assert checkpoint.needed_files({name: 1, "tokenizer.json": 2, "x.bin.json": 3}, []) == {
        "tokenizer.json": 2,
        "x.bin.json": 3,
    }
    assert checkpoint.needed_files({name: 1}, [name]) == {name: 1}, "but for its weights"


@pytest.mark.parametrize("folder", ["original", "metal", "onnx", "openvino", "coreml", "gguf", ".cache", ".git"])
def test_folders_of_other_formats_are_not_fetched(folder: str) -> None:
    assert checkpoint.needed_files({f"{folder}/a.json": 1, f"x{folder}/a.json": 2}, []) == {f"x{folder}/a.json": 2}


def test_a_whole_model_in_one_file_goes_before_parts_of_it() -> None:
    assert checkpoint.weight_files(["other.safetensors", "model.safetensors"]) == ("model.safetensors",)
    assert checkpoint.weight_files(["b.safetensors", "a.safetensors", "x/c.safetensors"]) == (
        "a.safetensors",
        "b.safetensors",
    )


@pytest.mark.long
def test_a_model_of_too_many_kinds_of_tensors_is_not_kept() -> None:
    many = [Tensor("w", "BF16", (at + 1,)) for at in range(MOST_GROUPS + 1)]
    with pytest.raises(FleetError, match=r"has tensors of .* kinds, more than the .* that are kept"):
        checkpoint.document("a/b", "", {"config.json": {}}, many, {}, {}, "x")
    assert checkpoint.document("a/b", "", {"config.json": {}}, many[:-1], {}, {}, "x")["id"] == "a/b"


@pytest.mark.parametrize(
    ("keeps", "ranks", "spec"),
    [
        (Keeps(Kind.FULL, 8, 128), 1, CacheSpec(Kind.FULL, 2 * 8 * 128 * 2)),
        (Keeps(Kind.FULL, 8, 128), 4, CacheSpec(Kind.FULL, 2 * 2 * 128 * 2)),
        # Fewer heads than ranks: each has one.
        (Keeps(Kind.FULL, 2, 128), 4, CacheSpec(Kind.FULL, 2 * 1 * 128 * 2)),
        (Keeps(Kind.SLIDING, 8, 64, span=4096), 2, CacheSpec(Kind.SLIDING, 2 * 4 * 64 * 2, 4096)),
        (Keeps(Kind.FULL, latent=576), 4, CacheSpec(Kind.FULL, 576 * 2)),
        (Keeps(Kind.STATE, convolved=300, recurrent=1000, recurrent_bytes=4), 1, CacheSpec(Kind.STATE, 300 * 2 + 4000)),
        (Keeps(Kind.STATE, convolved=300, recurrent=1000, recurrent_bytes=4), 2, CacheSpec(Kind.STATE, 150 * 2 + 2000)),
        (Keeps(Kind.STATE, convolved=300, recurrent=1000), 1, CacheSpec(Kind.STATE, 300 * 2 + 2000)),
    ],
)
def test_what_a_layer_keeps_on_a_rank(keeps: Keeps, ranks: int, spec: CacheSpec) -> None:
    assert keeps.spec(2, 2, ranks) == spec


def test_a_cache_in_fp8_keeps_a_byte_an_element() -> None:
    assert Keeps(Kind.FULL, 8, 128).spec(1, 2, 1) == CacheSpec(Kind.FULL, 2 * 8 * 128)
    assert Keeps(Kind.FULL, latent=576).spec(1, 2, 1) == CacheSpec(Kind.FULL, 576)
    # A state is in the model's own type.
    assert Keeps(Kind.STATE, convolved=300).spec(1, 2, 1) == CacheSpec(Kind.STATE, 600)


GROUP: dict[str, Any] = {"name": "a.#.weight", "dtype": "BF16", "shape": [2, 3], "count": 4, "layers": [[0, 3]]}


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"name": 5}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 1001}, "name"),
        ({"dtype": "BF17"}, "dtype"),
        ({"dtype": ["BF16"]}, "dtype"),
        ({"shape": "23"}, "shape"),
        ({"shape": [-1]}, "shape"),
        ({"shape": [True]}, "shape"),
        ({"shape": [2**40]}, "shape"),
        ({"count": 0}, "count"),
        ({"count": True}, "count"),
        ({"layers": 5}, "layers"),
        ({"layers": [[0]]}, "layers"),
        ({"layers": [[0, "1"]]}, "layers"),
        ({"layers": [["0", 1]]}, "layers"),
        ({"layers": [[3, 2]]}, "layers"),
        ({"layers": [[0, 100_000]]}, "layers"),
        ({"layers": [[0, 1.5]]}, "layers"),
    ],
)
def test_a_group_with_one_wrong_value(change: dict[str, Any], place: str) -> None:
    with pytest.raises(FleetError) as caught:
        read_groups([GROUP, {**GROUP, **change}], "info.tensors")
    assert caught.value.where == f"info.tensors[1].{place}"


def test_a_group_at_its_bounds() -> None:
    (found,) = read_groups([{**GROUP, "name": "x" * 1000, "layers": [[0, 99_999]], "shape": []}], "t")
    assert (found.shape, found.count) == ((), 4)


def test_another_format_of_what_is_kept_is_named_in_part() -> None:
    with pytest.raises(FleetError) as caught:
        ModelInfo.read({"format": "x" * 100}, "info")
    assert str(caught.value).startswith(f"info.format: '{'x' * 60}' is none that this release reads.")


BASE = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 130,
    "max_position_embeddings": 512,
    "torch_dtype": "bfloat16",
}


@pytest.mark.parametrize(("tied", "tables"), [(True, 1), (False, 2)])
def test_a_vocabulary_is_padded_in_each_of_its_tables(tied: bool, tables: int) -> None:
    padded = ModelShape.from_config({**BASE, "tie_word_embeddings": tied})
    whole = ModelShape.from_config({**BASE, "tie_word_embeddings": tied, "vocab_size": 192})
    # 130 words are padded to 192, and those of the whole one to themselves.
    assert whole.weights_bytes() == padded.weights_bytes()
    narrower = ModelShape.from_config({**BASE, "tie_word_embeddings": tied, "vocab_size": 128})
    assert padded.weights_bytes() - narrower.weights_bytes() == tables * 64 * 64 * 2


def test_whisper_is_counted_by_hand() -> None:
    config = {
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "d_model": 64,
        "decoder_layers": 3,
        "encoder_layers": 2,
        "decoder_attention_heads": 4,
        "num_attention_heads": 4,
        "encoder_attention_heads": 4,
        "decoder_ffn_dim": 256,
        "encoder_ffn_dim": 128,
        "num_hidden_layers": 3,
        "vocab_size": 192,
        "num_mel_bins": 80,
        "max_source_positions": 100,
        "max_target_positions": 448,
        "torch_dtype": "bfloat16",
    }
    shape = ModelShape.from_config(config)
    assert [(one.kind, one.kv_heads, one.head_dim, one.span, count) for one, count in shape.keeps] == [
        (Kind.FULL, 4, 16, 0, 3),
        (Kind.CROSS, 4, 16, 100, 3),
    ]
    wider = ModelShape.from_config({**config, "decoder_layers": 4, "num_hidden_layers": 4})
    # A decoder's layer: two attentions of four matrices with their biases and norms, an MLP of two.
    layer = 8 * 64 * 64 + 6 * 64 + 2 * 64 * 256 + 256 + 64 + 6 * 64
    assert wider.plain_parameters - shape.plain_parameters == layer
