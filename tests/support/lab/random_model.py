# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small model with random weights: a third architecture for the demonstration, which nobody takes for more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.gpuserve.fleet.tests.support.lab import checkpoint
from ansible_collections.gpuserve.fleet.tests.support.lab.common import CHECKOUT

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

VOCABULARY = 2048
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
NOTE = "Random weights, made on this machine for a demonstration: what this model says means nothing.\n"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True)
class Shape:
    """What a model of Qwen2's architecture is as large as; its embedding is its head as well."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    intermediate: int

    @property
    def head_dim(self) -> int:
        """Return the width of one attention head."""
        return self.hidden // self.heads

    def config(self) -> dict[str, Any]:
        """Return config.json as the model's family writes it."""
        return {
            "architectures": ["Qwen2ForCausalLM"],
            "model_type": "qwen2",
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
            "tie_word_embeddings": True,
            "bos_token_id": 0,
            "eos_token_id": 2,
            "torch_dtype": "bfloat16",
            "use_cache": True,
            "use_sliding_window": False,
        }

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
                f"{at}.self_attn.q_proj.bias": (self.hidden,),
                f"{at}.self_attn.k_proj.bias": (kv,),
                f"{at}.self_attn.v_proj.bias": (kv,),
                f"{at}.post_attention_layernorm.weight": (self.hidden,),
                f"{at}.mlp.gate_proj.weight": (self.intermediate, self.hidden),
                f"{at}.mlp.up_proj.weight": (self.intermediate, self.hidden),
                f"{at}.mlp.down_proj.weight": (self.hidden, self.intermediate),
            }
        shapes["model.norm.weight"] = (self.hidden,)
        return shapes


QWEN = Shape(layers=6, hidden=384, heads=6, kv_heads=2, intermediate=1024)


def make(shape: Shape, folder: Path) -> None:
    """Write the model into a new folder."""
    folder.mkdir(parents=True)
    (folder / "README.md").write_text(NOTE)
    checkpoint.write_json(folder / "config.json", shape.config())
    checkpoint.write_json(folder / "generation_config.json", {"bos_token_id": 0, "eos_token_id": 2})
    _write_tokenizer(folder)
    checkpoint.write(folder / "model.safetensors", _weights(shape), NOTE.strip())


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
    checkpoint.write_json(folder / "tokenizer_config.json", settings)


def _weights(shape: Shape) -> Iterator[tuple[str, Array]]:
    import numpy

    random = numpy.random.default_rng(1)
    for name, size in shape.tensors().items():
        whole = numpy.ones(size) if name.endswith("norm.weight") else random.normal(0.0, 0.05, size)
        yield name, whole.astype(numpy.float32)
