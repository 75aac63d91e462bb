# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Three small models for the demonstration: real architectures and tokenizers, random weights.

They answer with words that mean nothing: nothing has to be downloaded, and nobody takes them for more.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.gpuserve.fleet.tests.support.lab.common import CACHE, CHECKOUT, key_of, locked, say

MODELS = CACHE / "models"
VOCABULARY = 2048
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
NOTE = "Random weights, made on this machine for a demonstration: what this model says means nothing.\n"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Bump when the steps below change what a model's folder holds.
RECIPE = 1


@dataclass(frozen=True)
class Shape:
    """What sets one demonstration model apart from the others."""

    name: str
    architecture: str
    model_type: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    intermediate: int
    tied: bool = False
    qkv_bias: bool = False

    @property
    def head_dim(self) -> int:
        """Return the width of one attention head."""
        return self.hidden // self.heads

    def config(self) -> dict[str, Any]:
        """Return config.json as the model's family writes it."""
        config: dict[str, Any] = {
            "architectures": [self.architecture],
            "model_type": self.model_type,
            "num_hidden_layers": self.layers,
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "vocab_size": VOCABULARY,
            "max_position_embeddings": 2048,
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0,
            "hidden_act": "silu",
            "initializer_range": 0.02,
            "attention_dropout": 0.0,
            "tie_word_embeddings": self.tied,
            "bos_token_id": 0,
            "eos_token_id": 2,
            "torch_dtype": "bfloat16",
            "use_cache": True,
        }
        if self.model_type == "llama":
            config |= {"attention_bias": False, "mlp_bias": False}
        if self.model_type == "qwen2":
            config |= {"use_sliding_window": False}
        if self.model_type == "mistral":
            config |= {"sliding_window": None}
        return config

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Return the name and shape of every tensor of a checkpoint."""
        kv = self.kv_heads * self.head_dim
        shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (VOCABULARY, self.hidden)}
        for layer in range(self.layers):
            at = f"model.layers.{layer}"
            shapes |= {
                f"{at}.input_layernorm.weight": (self.hidden,),
                f"{at}.self_attn.q_proj.weight": (self.hidden, self.hidden),
                f"{at}.self_attn.k_proj.weight": (kv, self.hidden),
                f"{at}.self_attn.v_proj.weight": (kv, self.hidden),
                f"{at}.self_attn.o_proj.weight": (self.hidden, self.hidden),
                f"{at}.post_attention_layernorm.weight": (self.hidden,),
                f"{at}.mlp.gate_proj.weight": (self.intermediate, self.hidden),
                f"{at}.mlp.up_proj.weight": (self.intermediate, self.hidden),
                f"{at}.mlp.down_proj.weight": (self.hidden, self.intermediate),
            }
            if self.qkv_bias:
                shapes |= {
                    f"{at}.self_attn.q_proj.bias": (self.hidden,),
                    f"{at}.self_attn.k_proj.bias": (kv,),
                    f"{at}.self_attn.v_proj.bias": (kv,),
                }
        shapes["model.norm.weight"] = (self.hidden,)
        if not self.tied:
            shapes["lm_head.weight"] = (VOCABULARY, self.hidden)
        return shapes


SHAPES = (
    Shape("llama", "LlamaForCausalLM", "llama", layers=4, hidden=512, heads=8, kv_heads=4, intermediate=1408),
    Shape(
        "qwen",
        "Qwen2ForCausalLM",
        "qwen2",
        layers=6,
        hidden=384,
        heads=6,
        kv_heads=2,
        intermediate=1024,
        tied=True,
        qkv_bias=True,
    ),
    Shape("mistral", "MistralForCausalLM", "mistral", layers=3, hidden=512, heads=4, kv_heads=2, intermediate=1408),
)


def ensure_models() -> Path:
    """Return the folder with one folder a model, made unless it is there."""
    try:
        import numpy
        import tokenizers
    except ImportError as error:
        sys.exit(f"lab: making models needs {error.name}: run this in the project's venv (make venv).")
    made_with = [numpy.__version__, tokenizers.__version__]
    key = key_of(RECIPE, [(shape.config(), shape.tensors()) for shape in SHAPES], made_with)
    folder = MODELS / key
    with locked("models"):
        if not (folder / ".ready").exists():
            say(f"making {len(SHAPES)} small models with random weights in {folder}")
            shutil.rmtree(folder, ignore_errors=True)
            for seed, shape in enumerate(SHAPES):
                make(shape, folder / shape.name, seed)
            (folder / ".ready").touch()
    return folder


def make(shape: Shape, folder: Path, seed: int) -> None:
    """Write one model into a new folder."""
    folder.mkdir(parents=True)
    (folder / "README.md").write_text(NOTE)
    (folder / "config.json").write_text(json.dumps(shape.config(), indent=2) + "\n")
    (folder / "generation_config.json").write_text(json.dumps({"bos_token_id": 0, "eos_token_id": 2}, indent=2) + "\n")
    _write_tokenizer(folder)
    _write_weights(folder / "model.safetensors", shape, seed)


def _write_tokenizer(folder: Path) -> None:
    """Train a byte-level tokenizer on the licence: it knows real words, and any byte."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((CHECKOUT / "LICENSE").read_text().splitlines(), trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": SPECIAL[0],
        "eos_token": SPECIAL[2],
        "pad_token": SPECIAL[0],
        "model_max_length": 2048,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")


def _write_weights(path: Path, shape: Shape, seed: int) -> None:
    """Write a safetensors file (a JSON header, then the numbers) of bfloat16, which numpy itself does not have."""
    import numpy

    random = numpy.random.default_rng(seed)
    header: dict[str, Any] = {"__metadata__": {"format": "pt", "note": NOTE.strip()}}
    chunks: list[bytes] = []
    offset = 0
    for name, size in shape.tensors().items():
        if name.endswith("norm.weight"):
            numbers = numpy.ones(size, dtype=numpy.float32)
        else:
            numbers = random.normal(0.0, 0.05, size).astype(numpy.float32)
        # The upper half of a float32 is a bfloat16.
        chunk = (numbers.view(numpy.uint32) >> 16).astype("<u2").tobytes()
        header[name] = {"dtype": "BF16", "shape": list(size), "data_offsets": [offset, offset + len(chunk)]}
        chunks.append(chunk)
        offset += len(chunk)
    words = json.dumps(header).encode()
    words += b" " * (-len(words) % 8)
    path.write_bytes(len(words).to_bytes(8, "little") + words + b"".join(chunks))
