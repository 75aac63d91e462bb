# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each key of a model entry is, for people: the reference pages are made from this table, a row a field of ModelSpec."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import ModelSpec


@dataclass(frozen=True)
class Key:
    """One key: its type as a person writes it, its unit, what it does, an example, and what holds where it is left out."""

    type: str
    unit: str
    what: str
    example: str
    left_out: str = ""


KEYS: dict[str, Key] = {
    "name": Key("text", "", "What clients call the model, and its service's and container's name.", "qwen", "required"),
    "model": Key("text", "", "A hub id, or a folder on the host.", "Qwen/Qwen2.5-3B-Instruct", "required"),
    "port": Key(
        "number",
        "",
        "Its own port on loopback.",
        "8002",
        "the one it has on the host, else the lowest free one from 8001 up",
    ),
    "max_model_len": Key(
        "number", "tokens", "The longest request, prompt and answer.", "8192", "what the model and the memory allow"
    ),
    "max_num_seqs": Key("number", "requests", "How many requests are worked on at once.", "24", "what memory allows"),
    "max_num_batched_tokens": Key(
        "number", "tokens", "How many tokens one step computes at most.", "4096", "what the engine takes by itself"
    ),
    "revision": Key("text", "", "A branch, tag or commit of the hub's repository.", "main", "the default branch"),
    "dtype": Key("text", "", "What weights and activations are computed in.", "bfloat16", ""),
    "quantization": Key(
        "text", "", "Quantize while loading, where the checkpoint is not quantized.", "fp8", "as stored"
    ),
    "kv_cache_dtype": Key("text", "", "What the KV cache is kept in: auto, fp8, fp8_e4m3 or fp8_e5m2.", "fp8", ""),
    "enforce_eager": Key("true or false", "", "Go without CUDA graphs: less memory, slower answers.", "true", ""),
    "priority": Key("number", "", "Its weight where memory for KV caches is shared out.", "2", ""),
    "gpus": Key("list", "", "The GPUs that it may lie on, by index or UUID.", "[0]", "any"),
    "tensor_parallel_size": Key("number", "GPUs", "Over how many GPUs it is split.", "2", "as few as it fits on"),
    "engine": Key("text", "", "What serves it.", "vllm", ""),
    "weights_bytes": Key(
        "size", "bytes", "What its weights take, believed as written.", "15GiB", "counted from the model's files"
    ),
    "kv_cache_memory_bytes": Key("size", "bytes", "Its KV cache, exactly.", "6GiB", "its share of what is left"),
    "gpu_memory_utilization": Key(
        "number", "share of the GPU", "The engine's own share, in place of exact bytes.", "0.3", "planned in bytes"
    ),
    "extra_args": Key("list", "", "Further arguments of the engine, one word each.", "[--seed, '7']", "none"),
    "env": Key(
        "mapping",
        "",
        "Variables of the engine's process; a secret file holds them.",
        "{VLLM_LOGGING_LEVEL: DEBUG}",
        "none",
    ),
    "aliases": Key("list", "", "Further names that clients may use.", "[chat]", "none"),
    "lora_adapters": Key(
        "list", "", "Adapters, each with name, path and rank (16).", "[{name: law, path: /srv/law, rank: 16}]", "none"
    ),
    "trust_remote_code": Key(
        "true or false", "", "Run Python that comes with the model; wants a revision of 40 digits.", "true", ""
    ),
    "config": Key("mapping", "", "What the model's config.json holds.", "{architectures: [LlamaForCausalLM]}", "found"),
    "config_path": Key("path", "", "The model's config.json, where it is.", "/srv/qwen/config.json", "found"),
    "info": Key("mapping", "", "What is kept of the model's files without its weights.", "{format: 1}", "found"),
    "task": Key(
        "text",
        "",
        "What it is for: generate, embed, score, classify or transcribe.",
        "embed",
        "what its files say",
    ),
    "allow_network": Key(
        "true or false", "", "Let its engine reach the network, for images and sound from URLs.", "true", ""
    ),
    "placement": Key(
        "text, number or mapping",
        "hosts",
        "Which hosts serve it: every, so many, or those of a label, spread over groups.",
        "{hosts: 2, label: big_disk, spread: [rack_a, rack_b]}",
        "every host that lists it",
    ),
    "distributed": Key(
        "mapping",
        "hosts",
        "Spread it over so many hosts, a stage of its layers on each; master_port (29501) is where they meet.",
        "{hosts: 2, pipeline_parallel: 2}",
        "each host serves it alone",
    ),
}


def rows() -> Iterator[tuple[str, Key, str]]:
    """Return each key in the order of ModelSpec's fields, with what holds where it is left out."""
    for field in fields(ModelSpec):
        if field.name not in KEYS:
            continue
        key = KEYS[field.name]
        default = key.left_out
        if not default and field.default is not MISSING:
            default = str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
        yield field.name, key, default
