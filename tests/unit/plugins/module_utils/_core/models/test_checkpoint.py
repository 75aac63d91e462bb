# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files of a repository are weights, which an engine needs, what is said of one without any, and what is kept."""

from __future__ import annotations

import json

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import checkpoint
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.info import ModelInfo
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.nearest import nearest
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.tensors import Tensor

SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


@pytest.mark.parametrize(
    ("files", "index", "weights"),
    [
        (["model.safetensors", "config.json"], None, ("model.safetensors",)),
        # As Mistral publishes: the same weights twice.
        ([*SHARDS, "consolidated.safetensors"], {"weight_map": dict(zip("ab", SHARDS, strict=True))}, SHARDS),
        (["model.safetensors", "consolidated.safetensors"], None, ("model.safetensors",)),
        (["consolidated.safetensors", "params.json"], None, ("consolidated.safetensors",)),
        ([*SHARDS, "consolidated.safetensors"], None, SHARDS),
        # As gpt-oss does: another form in a folder.
        (["model.safetensors", "original/model.safetensors", "metal/model.bin"], None, ("model.safetensors",)),
        # An index that says nothing, or is none.
        (["model.safetensors"], {"weight_map": {}}, ("model.safetensors",)),
        (["model.safetensors"], {"weight_map": list(SHARDS)}, ("model.safetensors",)),
        (["adapter_model.safetensors"], None, ()),
        (["pytorch_model.bin"], None, ()),
    ],
)
def test_which_files_hold_the_weights(
    files: list[str], index: dict[str, object] | None, weights: tuple[str, ...]
) -> None:
    assert checkpoint.weight_files(files, index) == weights


def test_an_index_that_names_what_is_not_there_is_an_incomplete_upload() -> None:
    with pytest.raises(FleetError, match=f"names {SHARDS[1]}, which is not there"):
        checkpoint.weight_files([SHARDS[0]], {"weight_map": dict(zip("ab", SHARDS, strict=True))})


def test_an_engine_needs_no_weights_in_other_forms() -> None:
    files = ["config.json", "model.safetensors", "consolidated.safetensors", "pytorch_model.bin", "m.Q4.gguf", "a.png"]
    files += ["original/model.safetensors", "onnx/model.onnx", "1_Pooling/config.json", "2_Dense/model.safetensors"]
    files += ["modeling_x.py", "tokenizer.model", "chat_template.jinja"]
    needed = checkpoint.needed_files(dict.fromkeys(files, 1), ["model.safetensors"])
    assert sorted(needed) == sorted(
        [
            "config.json",
            "model.safetensors",
            "1_Pooling/config.json",
            "2_Dense/model.safetensors",
            "modeling_x.py",
            "tokenizer.model",
            "chat_template.jinja",
        ]
    )


@pytest.mark.parametrize(
    ("files", "fact", "remedy"),
    [
        (["m.Q4_K_M.gguf", "README.md"], "GGUF only (m.Q4_K_M.gguf)", "that it was made from"),
        (["pytorch_model.bin"], "pickled files only (pytorch_model.bin)", "config_path"),
        (["adapter_model.safetensors", "adapter_config.json"], "is an adapter", "lora_adapters"),
        (["unet/model.safetensors"], "in folders (unet/model.safetensors)", "one model"),
        (["README.md"], "holds no weights", "that has them"),
    ],
)
def test_a_repository_without_safetensors_is_told_what_to_do(files: list[str], fact: str, remedy: str) -> None:
    error = checkpoint.without_safetensors(files, "vllm_stack_models[0].model", "acme/x")
    assert fact in error.message and remedy in error.remedy


def test_a_config_without_a_model_type_is_refused_and_params_alone_are_not() -> None:
    checkpoint.check_config(None, {"dim": 1}, "m", "acme/x")
    configs: list[object] = [None, [], {}, {"architectures": ["LlamaForCausalLM"]}]
    for config in configs:
        with pytest.raises(FleetError, match="acme/x"):
            checkpoint.check_config(config, None, "m", "acme/x")


def test_what_is_kept_is_what_the_planner_reads_and_only_limits_of_the_tokenizer() -> None:
    tensors = [Tensor(f"model.layers.{layer}.w", "BF16", (4, 4)) for layer in range(40)]
    small = {
        "config.json": {"model_type": "llama"},
        "tokenizer_config.json": {"model_max_length": 131072, "added_tokens_decoder": {"1": "x" * 1000}},
        "hf_quant_config.json": {"quantization": {"quant_algo": "FP8"}},
        "modules.json": [{"type": "sentence_transformers.models.Pooling"}],
    }
    facts = {"gated": False, "licence": "mit", "revision": "main"}
    info = checkpoint.document("acme/x", "c" * 40, small, tensors, {"model.safetensors": 1280}, facts, "m")
    text = checkpoint.dump(info)
    assert json.loads(text) == info and len(text) < 1500 and text.endswith("}\n")
    assert checkpoint.dump(json.loads(text)) == text
    read = ModelInfo.read(json.loads(text), "info")
    assert (read.commit, read.tokenizer_config, read.disk_bytes) == ("c" * 40, {"model_max_length": 131072}, 1280)
    assert read.tensors[0].count == 40 and list(read.quantization) == ["hf_quant_config.json"]


def test_nearest_ids() -> None:
    known = ["Qwen/Qwen3-8B", "Qwen/Qwen3-8B-AWQ", "Qwen/Qwen3-14B", "meta-llama/Llama-3.1-8B-Instruct", "BAAI/bge-m3"]
    assert nearest("qwen/qwen3-8b", known) == ["Qwen/Qwen3-8B"]
    assert nearest("Qwen/Qwen3-8b-Instruct", known)[0] == "Qwen/Qwen3-8B"
    assert nearest("bge-m3", known) == ["BAAI/bge-m3"]
    assert nearest("Meta/Llama-3.1-8B-Instruct", known)[0] == "meta-llama/Llama-3.1-8B-Instruct"
    assert nearest("acme/nothing-like-it", known) == []
    assert len(nearest("Qwen/Qwen3", known)) <= 3


def test_every_small_file_comes_back_in_its_field() -> None:
    small = {
        "config.json": {"model_type": "llama"},
        "generation_config.json": {"a": 1},
        "tokenizer_config.json": {"model_max_length": 2, "chat_template": "not kept"},
        "sentence_bert_config.json": {"max_seq_length": 3},
        "processor_config.json": {"b": 4},
        "params.json": {"dim": 5},
        "modules.json": [{"idx": 6}],
        "quant_config.json": {"c": 7},
        "quantize_config.json": {"d": 8},
        "hf_quant_config.json": "no mapping",
    }
    kept = checkpoint.document("a/b", "c0ffee", small, [], {"w": 9, "v": 1}, {"licence": "mit"}, "x")
    assert (kept["files"], kept["disk_bytes"]) == ([{"path": "v", "bytes": 1}, {"path": "w", "bytes": 9}], 10)
    assert ModelInfo.read(kept, "x") == ModelInfo(
        config={"model_type": "llama"},
        id="a/b",
        commit="c0ffee",
        quantization={"quant_config.json": {"c": 7}, "quantize_config.json": {"d": 8}},
        params={"dim": 5},
        generation_config={"a": 1},
        tokenizer_config={"model_max_length": 2},
        sentence_bert_config={"max_seq_length": 3},
        processor_config={"b": 4},
        modules=({"idx": 6},),
        disk_bytes=10,
    )
    # The first of the two files that say how pictures are cut up counts.
    both = {**small, "preprocessor_config.json": {"first": 1}}
    assert checkpoint.document("a/b", "", both, [], {}, {}, "x")["processor_config"] == {"first": 1}


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth"])
def test_pickled_weights_are_said_to_be_so(name: str) -> None:
    said = str(checkpoint.without_safetensors(["config.json", name], "x", "a/b"))
    assert f"a/b has its weights as pickled files only ({name})" in said


def test_quantized_checkpoints_by_kind() -> None:
    ids = [
        "a/M-GGUF",
        "a/M-FP8",
        "b/M-FP8-dynamic",
        "c/M-mlx-4bit",
        "d/M-AWQ",
        "a/M-FP8",
        "e/M-NVFP4",
        "f/M-quantized.w4a16",
        "g/M-int4",
        "h/M-awq-int4",
        "i/M-exl2",
    ]
    found = ["a/M-FP8", "d/M-AWQ", "e/M-NVFP4", "f/M-quantized.w4a16", "g/M-int4", "b/M-FP8-dynamic", "h/M-awq-int4"]
    assert checkpoint.loadable(ids) == found
