# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Repositories that the hub's double serves: real small safetensors files and the small files beside them, made on the spot."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

DTYPE_BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "U8": 1, "I8": 1}


def safetensors(tensors: Mapping[str, tuple[str, tuple[int, ...]]], seed: int = 0) -> bytes:
    """Return a whole safetensors file with these tensors, by name their dtype and shape; the numbers in them mean nothing."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, (dtype, shape) in tensors.items():
        size = DTYPE_BYTES[dtype]
        for side in shape:
            size *= side
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    body = (hashlib.sha256(str(seed).encode()).digest() * (offset // 32 + 1))[:offset]
    return struct.pack("<Q", len(text)) + text + body


def llama_tensors(config: Mapping[str, Any], dtype: str = "BF16") -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return every tensor of a checkpoint of LlamaForCausalLM."""
    hidden, inner, words = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    head = config.get("head_dim", hidden // config["num_attention_heads"])
    queries, keys = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    found: dict[str, tuple[str, tuple[int, ...]]] = {"model.embed_tokens.weight": (dtype, (words, hidden))}
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}"
        found |= {
            f"{at}.self_attn.q_proj.weight": (dtype, (queries, hidden)),
            f"{at}.self_attn.k_proj.weight": (dtype, (keys, hidden)),
            f"{at}.self_attn.v_proj.weight": (dtype, (keys, hidden)),
            f"{at}.self_attn.o_proj.weight": (dtype, (hidden, queries)),
            f"{at}.mlp.gate_proj.weight": (dtype, (inner, hidden)),
            f"{at}.mlp.up_proj.weight": (dtype, (inner, hidden)),
            f"{at}.mlp.down_proj.weight": (dtype, (hidden, inner)),
            f"{at}.input_layernorm.weight": (dtype, (hidden,)),
            f"{at}.post_attention_layernorm.weight": (dtype, (hidden,)),
        }
    found["model.norm.weight"] = (dtype, (hidden,))
    if not config.get("tie_word_embeddings"):
        found["lm_head.weight"] = (dtype, (words, hidden))
    return found


SMALL_LLAMA: Mapping[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 512,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}


def small_llama(shards: int = 1, **more: Any) -> dict[str, bytes]:
    """Return the files of a small Llama as a hub repository holds them, in one safetensors file or several with their index."""
    config = {**SMALL_LLAMA, **more}
    tensors = llama_tensors(config)
    files = {
        "config.json": json.dumps(config).encode(),
        "generation_config.json": json.dumps({"max_new_tokens": 128}).encode(),
        "tokenizer_config.json": json.dumps({"model_max_length": 2048, "chat_template": "{{ messages }}"}).encode(),
        "README.md": b"# A small model\n",
    }
    if shards == 1:
        return files | {"model.safetensors": safetensors(tensors)}
    names = list(tensors)
    weight_map: dict[str, str] = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        part = {name: tensors[name] for name in names[shard::shards]}
        files[file] = safetensors(part, shard)
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    return files | {"model.safetensors.index.json": json.dumps(index).encode()}


@dataclass(frozen=True)
class Fault:
    """What goes wrong with a file, so often; then it is served well. Zero means never."""

    times: int = 1
    status: int = 0
    retry_after: str = ""
    stall_after: int = -1
    cut_after: int = -1
    bytes_per_s: int = 0
    wrong_hash: bool = False
    html: bool = False
    ignores_range: bool = False


@dataclass
class Repository:
    """One model on the hub: its files, who may see it, and its state before the last commit."""

    files: dict[str, bytes]
    gated: str = ""
    private: bool = False
    accepted: tuple[str, ...] = ()
    licence: str = "apache-2.0"
    renamed_to: str = ""
    base_model: str = ""
    faults: dict[str, Fault] = field(default_factory=dict)
    earlier: dict[str, dict[str, bytes]] = field(default_factory=dict)

    @cached_property
    def commit(self) -> str:
        """The commit of the files as they are."""
        return commit_of(self.files)

    def at(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """Return the commit and the files of a revision; None where there is none such."""
        if revision in ("main", self.commit):
            return self.commit, self.files
        return (revision, self.earlier[revision]) if revision in self.earlier else None

    def push(self, files: dict[str, bytes]) -> str:
        """Make a commit with these files and return it."""
        self.earlier[self.commit] = self.files
        self.files = files
        del self.__dict__["commit"]
        return self.commit


def commit_of(files: Mapping[str, bytes]) -> str:
    """Return a hash of the files, as long as git's."""
    return hashlib.sha1(
        b"".join(name.encode() + hashlib.sha1(files[name]).digest() for name in sorted(files))
    ).hexdigest()


def is_lfs(path: str) -> bool:
    """Tell whether the hub keeps a file beside git, under its SHA-256."""
    return path.endswith((".safetensors", ".bin", ".gguf", ".pt"))


def blob_id(path: str, content: bytes) -> str:
    """Return git's name of a file's content; for a large one, of the pointer that stands for it."""
    if is_lfs(path):
        content = (
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{hashlib.sha256(content).hexdigest()}\n".encode()
        )
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def from_folder(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder, by their path in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
