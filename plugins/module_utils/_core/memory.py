# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one engine process holds in steady state after traffic, part by part, and what it peaks at while it starts.

The law and its sources are in docs/memory-model.md; the constants below were fitted over all measured starts of dense models
(tests/data/measurements, several models, eager and with graphs), never to one row. `make bench-plan` prints the errors.
"""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.model import ModelShape
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import MIB

# CUDA context, cuBLAS and its workspaces, kernels loaded while profiling; measured on an H200.
CONTEXT_BYTES = 772 * MIB
# NCCL's buffers and the custom all-reduce of each rank of a tensor-parallel group.
TENSOR_PARALLEL_BYTES = 500 * MIB
# Bytes a batched token and hidden unit (and MLP unit) that the allocator keeps from the largest batch it has seen.
HIDDEN_FACTOR = 10.04
MLP_FACTOR = 1.88
# The same for the rows that experts multiply: tokens times experts a token.
EXPERT_HIDDEN_FACTOR = 1.0
EXPERT_MLP_FACTOR = 3.0
# Penalty tables: a float a sequence and vocabulary entry, and what sampling keeps beside it.
SAMPLER_SEQUENCE_BYTES = 1.553 * 4
# Logits and sorting buffers that don't depend on the number of sequences.
SAMPLER_VOCABULARY_BYTES = 1.946 * 4 * 64
GRAPH_POOL_BYTES = 69 * MIB
# One captured graph's share for one layer.
GRAPH_LAYER_BYTES = int(0.173 * MIB)
# FlashInfer's workspace, taken where FlashAttention has no kernel for an fp8 cache.
FLASHINFER_BYTES = 394 * MIB
# An engine on the CPU: Python, torch and the compiled kernels, as proportional set size.
CPU_PROCESS_BYTES = 1256 * MIB


@dataclass(frozen=True)
class Part:
    """One named share of a process's memory, and why it is that large."""

    name: str
    size_bytes: int
    reason: str


@dataclass(frozen=True)
class Load:
    """How an engine is run, as far as memory depends on it."""

    max_num_seqs: int
    max_num_batched_tokens: int
    enforce_eager: bool
    capture_sizes: tuple[int, ...] | None = None
    tensor_parallel: int = 1
    fp8_cache: bool = False
    compute_capability: str = ""
    max_model_len: int = 0
    lora_slots: int = 0
    lora_rank: int = 16
    online_fp8: bool = False
    on_cpu: bool = False


def parts(shape: ModelShape, load: Load) -> tuple[Part, ...]:
    """Everything but the KV cache, in the order in which a person would ask."""
    weights = Part(
        "weights",
        shape.weights_bytes() // load.tensor_parallel,
        f"{shape.layers} layers of {shape.hidden_size}, {shape.quantization or f'{shape.dtype_bytes * 8} bits a weight'}"
        + ("" if shape.known else "; the architecture is unknown, so this is an estimate"),
    )
    if load.on_cpu:
        runtime = Part("context", CPU_PROCESS_BYTES, "Python, torch and the engine's own processes")
        return (runtime, weights, _activations(shape, load), _sampler(shape, load))
    context = CONTEXT_BYTES + (TENSOR_PARALLEL_BYTES if load.tensor_parallel > 1 else 0)
    found = [
        Part(
            "context", context, "CUDA context, cuBLAS, loaded kernels" + (", NCCL" if load.tensor_parallel > 1 else "")
        ),
        weights,
        _activations(shape, load),
        _sampler(shape, load),
    ]
    if not load.enforce_eager:
        graphs = graph_count(load)
        found.append(
            Part(
                "cuda_graphs",
                GRAPH_POOL_BYTES + graphs * shape.layers * GRAPH_LAYER_BYTES,
                f"{graphs} captured graphs of {shape.layers} layers",
            )
        )
    if load.fp8_cache and load.compute_capability != "9.0":
        found.append(Part("attention_workspace", FLASHINFER_BYTES, "FlashInfer serves an fp8 cache on this card"))
    if shape.latent:
        found.append(_latent_workspace(shape, load))
    if load.lora_slots:
        found.append(_lora(shape, load))
    return tuple(found)


def graph_count(load: Load) -> int:
    """Graphs captured: piecewise ones up to twice the sequences (512 at most), full ones up to the sequences."""
    if load.enforce_eager:
        return 0
    sizes = load.capture_sizes or default_capture_sizes(min(2 * load.max_num_seqs, 512))
    graphs = len(sizes) + sum(1 for size in sizes if size <= load.max_num_seqs)
    # With adapters each graph is captured twice, with and without them.
    return graphs * (2 if load.lora_slots else 1)


def default_capture_sizes(largest: int) -> tuple[int, ...]:
    """The batch sizes that the engine captures by itself."""
    steps = (1, 2, 4, *range(8, 257, 8), *range(272, 513, 16))
    return tuple(size for size in steps if size <= largest)


def profiled_bytes(shape: ModelShape, load: Load) -> int:
    """What the engine's own profile run sees beside weights, where --gpu-memory-utilization sizes the cache.

    The peak of one layer (residual, normed input, gate and up, activation) with a fifth for the allocator, and 225 MiB that
    torch does not know of.
    """
    row = shape.dtype_bytes / load.tensor_parallel
    mlp = 2 * shape.hidden_size * load.tensor_parallel + 3 * shape.intermediate_size
    attention = 2 * shape.hidden_size * load.tensor_parallel + 2 * (shape.heads + shape.kv_heads) * shape.head_dim
    return int(1.2 * load.max_num_batched_tokens * row * max(mlp, attention)) + 225 * MIB


def _activations(shape: ModelShape, load: Load) -> Part:
    tokens, width = load.max_num_batched_tokens, shape.dtype_bytes
    hidden = HIDDEN_FACTOR * shape.hidden_size
    mlp = MLP_FACTOR * shape.intermediate_size / load.tensor_parallel
    reason = f"the largest batch, {tokens} tokens"
    if shape.experts:
        experts = shape.experts
        dense = shape.intermediate_size if experts.layers < shape.layers else 0
        mlp = MLP_FACTOR * max(dense, experts.shared_intermediate_size) / load.tensor_parallel
        rows = EXPERT_HIDDEN_FACTOR * shape.hidden_size + EXPERT_MLP_FACTOR * experts.intermediate_size
        mlp += experts.per_token * rows / load.tensor_parallel
        reason += f" to {experts.per_token} experts each"
    size = tokens * width * (hidden + mlp)
    if load.online_fp8:
        # Weights quantized while loading take their inputs quantized too, a byte each.
        size += tokens * (shape.hidden_size + shape.intermediate_size / load.tensor_parallel)
    return Part("activations", int(size), reason)


def _sampler(shape: ModelShape, load: Load) -> Part:
    if not shape.has_kv_cache:
        return Part("sampler", 0, "an embedding model samples nothing")
    size = shape.vocab_size * (SAMPLER_SEQUENCE_BYTES * load.max_num_seqs + SAMPLER_VOCABULARY_BYTES)
    return Part("sampler", int(size), f"{load.max_num_seqs} sequences of {shape.vocab_size} words")


def _latent_workspace(shape: ModelShape, load: Load) -> Part:
    latent = shape.latent
    if latent is None:
        return Part("attention_workspace", 0, "")
    # vLLM unfolds cached latents of earlier chunks for at most this many tokens at a time (v1/attention/backends/mla).
    tokens = min(max(8 * load.max_model_len, 64 * load.max_num_seqs), 65536)
    heads = shape.heads // load.tensor_parallel
    unfolded = heads * (2 * latent.nope_dim + latent.rope_dim + latent.value_dim) + latent.kv_rank + latent.rope_dim
    return Part("attention_workspace", tokens * shape.dtype_bytes * unfolded, f"latents of {tokens} tokens, unfolded")


def _lora(shape: ModelShape, load: Load) -> Part:
    query, key = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    attention = 2 * (shape.hidden_size + query) + 2 * (shape.hidden_size + key)
    mlp = 3 * (shape.hidden_size + shape.intermediate_size)
    size = (
        load.lora_slots * load.lora_rank * shape.layers * (attention + mlp) * shape.dtype_bytes // load.tensor_parallel
    )
    return Part("lora", size, f"{load.lora_slots} adapters of rank {load.lora_rank}")
