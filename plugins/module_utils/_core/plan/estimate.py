# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one engine process holds in steady state after traffic, part by part.

The law of each part and its source are in docs/memory-model.md, the measured figures in memory_constants.py. `make bench-plan` prints
the errors.
"""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.constants import MEASURED, Constants
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import MIB

# FlashInfer's workspace, taken where FlashAttention has no kernel for an fp8 cache: its default size, read and not measured.
FLASHINFER_BYTES = 394 * MIB
# MXFP4 experts are put into another order while they load, and so much of one layer's stays reserved; the kernels that multiply them are
# loaded by the driver. Seen in one start (gpt-oss 20b on an H100).
MXFP4_LAYERS_KEPT = 3
MXFP4_KERNELS_BYTES = 290 * MIB
# AWQ with the embedding as output layer keeps twice its bytes reserved, in all four starts on Hopper (Llama 3.2 3B), and in none where
# the two are apart (Qwen2.5 7B). Other cards have other kernels.
AWQ_TIED_EMBEDDINGS_KEPT = 2
# An engine on the CPU: Python, torch and the compiled kernels, as proportional set size; and a tokenizer's word, in all processes that
# have one (SmolLM2's 49,152 words took 165 MiB of two).
CPU_PROCESS_BYTES = 1256 * MIB
CPU_WORD_BYTES = 3584
# oneDNN packs every linear layer into a copy (vLLM, layers/utils.py: dispatch_cpu_unquantized_gemm). The allocator was seen to keep
# three quarters of the originals of SmolLM2's 200 MiB; of larger models the next layers take their place.
CPU_ORIGINALS_KEPT = 0.75
CPU_MOST_ORIGINALS_BYTES = 256 * MIB
# Graphs are captured for batches of at most this many tokens.
MOST_CAPTURED = 512


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
    # Whether tokens are made: an embedding model samples nothing.
    samples: bool = True
    # Bytes of the weights that stay in the host's memory, and whether a layer that predicts ahead is loaded.
    offloaded_bytes: int = 0
    ahead: bool = False
    # Whether pictures and sounds are taken.
    encodes: bool = True
    # Tokens of the KV cache where its size is given: a batch can't hold more.
    cached_tokens: int | None = None

    @property
    def largest_batch(self) -> int:
        """Tokens of the largest batch that can be."""
        return min(self.max_num_batched_tokens, self.cached_tokens or self.max_num_batched_tokens)


def parts(shape: ModelShape, load: Load, measured: Constants = MEASURED) -> tuple[Part, ...]:
    """Everything but the KV cache, in the order in which a person would ask."""
    weights = Part(
        "weights",
        weights_bytes(shape, load),
        f"{shape.layers} layers of {shape.hidden_size}, {shape.quantization or f'{shape.dtype_bytes * 8} bits a weight'}"
        + ("" if not shape.plain_parts else f"; {shape.plain_parts} stay in {shape.dtype_bytes * 8} bits"),
    )
    if load.on_cpu:
        words = CPU_WORD_BYTES * shape.vocab_size
        runtime = Part("context", CPU_PROCESS_BYTES + words, "Python, torch, tokenizers and the engine's own processes")
        packed = Part("loading", packed_on_cpu(shape, load), "copies of linear layers as the CPU multiplies them")
        return (runtime, weights, packed, _sampler(shape, load, measured), _activations(shape, load, measured))
    found = [
        Part("context", int(measured.context_bytes), "CUDA context, loaded kernels, cuBLAS"),
        weights,
        _persistent(shape, load, measured),
        _sampler(shape, load, measured),
        _activations(shape, load, measured),
    ]
    if load.tensor_parallel > 1:
        copies = measured.tensor_parallel_hidden * load.largest_batch * shape.dtype_bytes * shape.hidden_size
        size = int(measured.tensor_parallel_bytes + copies)
        found.append(Part("tensor_parallel", size, f"NCCL among {load.tensor_parallel} cards, and what it sums"))
    if not load.enforce_eager:
        found.append(_graphs(shape, load, measured))
    if shape.latent:
        # Layers and the unfolding of latents take turns in the same memory.
        size = max(0, int(unfolded_latents(shape, load) - measured.latent_tensors * latent_layer(shape, load)))
        found.append(
            Part("attention_workspace", size, "latents of earlier chunks, unfolded, beyond what a layer takes")
        )
    if not shape.latent and not shape.experts:
        found.append(_allocator(shape, load, measured))
    if shape.encoders.patches and load.encodes:
        found.append(_encoder(shape, load, measured))
    if (kept := kept_while_loading(shape, load)) > 0:
        found.append(Part("loading", kept, "what stays reserved of weights put into another order while they load"))
    if load.fp8_cache and load.compute_capability != "9.0":
        found.append(Part("attention_workspace", FLASHINFER_BYTES, "FlashInfer serves an fp8 cache on this card"))
    if load.lora_slots:
        found.append(_lora(shape, load))
    return tuple(found)


def weights_bytes(shape: ModelShape, load: Load) -> int:
    """Bytes of the weights on each card."""
    whole = shape.weights_bytes()
    if load.ahead:
        # A layer like one of the model's own, and what joins it to the last.
        whole += shape.linear_bytes // max(1, shape.layers) + 2 * shape.hidden_size**2 * shape.dtype_bytes
    if not load.encodes and shape.given_weights_bytes is None:
        whole -= shape.encoders.parameters * shape.dtype_bytes
    return max(0, whole // load.tensor_parallel - load.offloaded_bytes)


def traffic_bytes(shape: ModelShape, load: Load, measured: Constants = MEASURED) -> int:
    """Bytes of these parts that are not taken yet when an engine is ready, and are once traffic has filled its batches."""
    if load.enforce_eager or load.on_cpu or shape.latent or not shape.has_kv_cache:
        return 0
    share = measured.expert_traffic if shape.experts else measured.traffic
    return int(share * _activations(shape, load, measured).size_bytes)


def graph_count(load: Load) -> int:
    """Graphs captured: piecewise ones up to twice the sequences (512 at most), full ones up to the sequences."""
    if load.enforce_eager:
        return 0
    sizes = _capture_sizes(load)
    graphs = len(sizes) + sum(1 for size in sizes if size <= load.max_num_seqs)
    # With adapters each graph is captured twice, with and without them.
    return graphs * (2 if load.lora_slots else 1)


def _capture_sizes(load: Load) -> tuple[int, ...]:
    return load.capture_sizes or default_capture_sizes(min(2 * load.max_num_seqs, MOST_CAPTURED))


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


def tensors_alive(shape: ModelShape, load: Load) -> int:
    """Bytes of the largest set of a layer's tensors alive at once, in the largest batch: nothing here is fitted.

    While the MLP multiplies, the residual, its normed copy and the input are alive beside gate, up and their product; while attention
    does, queries, keys, values and their product beside the first two. PyTorch's own count of peaks agrees to a few MiB. fp8 weights
    take their inputs in a byte each: compiled together in place of the wide ones, otherwise beside them.
    """
    tokens, width = load.largest_batch, shape.dtype_bytes
    hidden, mlp = shape.hidden_size, shape.intermediate_size // load.tensor_parallel
    attention = 2 * (shape.heads + shape.kv_heads) * shape.head_dim // load.tensor_parallel
    # Without a gate there are two of the MLP's tensors; beside an attention that read the same input there is its output too.
    units = 3 * (hidden + mlp) if shape.kind.gated else hidden + 2 * mlp
    units += hidden if shape.kind.parallel else 0
    wide = tokens * width * max(units, 2 * hidden + attention, shape.state_units // load.tensor_parallel)
    if not is_fp8(shape):
        return wide
    narrow = tokens * (hidden + mlp)
    return narrow + (2 * tokens * width * (hidden + mlp) if fuses_fp8(shape, load) else wide)


def is_fp8(shape: ModelShape) -> bool:
    """Whether linear layers multiply in fp8."""
    return shape.quantization is not None and shape.weight_bits == 8


def fuses_fp8(shape: ModelShape, load: Load) -> bool:
    """Whether the compiler puts activation and quantization together: checkpoints in fp8, not those quantized while loading."""
    return is_fp8(shape) and not load.enforce_eager and not load.online_fp8


def expert_workspace(shape: ModelShape, load: Load) -> int:
    """Bytes that fused experts keep: a row for each expert of each token, before and after its activation."""
    experts = shape.experts
    if experts is None:
        return 0
    width = experts.intermediate_size // load.tensor_parallel
    rows = load.max_num_batched_tokens * experts.per_token
    return rows * shape.dtype_bytes * (max(2 * width, shape.hidden_size) + width)


def latent_layer(shape: ModelShape, load: Load) -> int:
    """Bytes of a layer's tensors where attention is latent: of the dense layers, and a row for each expert of a token."""
    routed = shape.experts.per_token if shape.experts else 0
    units = 3 * (shape.hidden_size + shape.intermediate_size // load.tensor_parallel) + routed * shape.hidden_size
    return load.largest_batch * shape.dtype_bytes * units


def unfolded_latents(shape: ModelShape, load: Load) -> int:
    """Bytes of keys and values of earlier chunks, unfolded from their latents for as many tokens as the engine does at a time."""
    latent = shape.latent
    if latent is None:
        return 0
    # vLLM, v1/attention/backends/mla: determine_chunked_prefill_workspace_size.
    tokens = min(max(8 * load.max_model_len, 64 * load.max_num_seqs), 65536)
    return tokens * shape.dtype_bytes * shape.heads // load.tensor_parallel * (latent.nope_dim + latent.value_dim)


def _persistent(shape: ModelShape, load: Load, measured: Constants) -> Part:
    reason = "cuBLAS's workspace and input buffers"
    if shape.experts:
        reason += f", and what {shape.experts.per_token} experts a token work in"
    return Part("persistent_buffers", int(measured.persistent_bytes) + expert_workspace(shape, load), reason)


def _sampler(shape: ModelShape, load: Load, measured: Constants) -> Part:
    if not shape.has_kv_cache or not load.samples:
        return Part("sampler", 0, "an embedding model samples nothing")
    # Mixtures of experts are served by vLLM's older runner, whose sampler sorts whole copies.
    floats = measured.sampler_floats + (measured.expert_sampler_floats if shape.experts and not shape.latent else 0)
    size = floats * 4 * load.max_num_seqs * shape.vocab_size
    return Part("sampler", int(size), f"{load.max_num_seqs} sequences of {shape.vocab_size} words")


def _activations(shape: ModelShape, load: Load, measured: Constants) -> Part:
    tokens, width = load.largest_batch, shape.dtype_bytes
    reason = f"the largest batch, {tokens} tokens"
    routed = shape.experts.per_token if shape.experts else 0
    if shape.latent:
        return Part(
            "activations", int(measured.latent_bytes + measured.latent_tensors * latent_layer(shape, load)), reason
        )
    if routed:
        size = tokens * width * shape.hidden_size * (routed + measured.expert_hidden)
        return Part("activations", int(size), f"{reason} to {routed} experts each")
    return Part("activations", tensors_alive(shape, load), reason)


def _graphs(shape: ModelShape, load: Load, measured: Constants) -> Part:
    graphs = graph_count(load)
    plain = shape.quantization is None or load.online_fp8
    size = measured.graph_persistent_bytes if plain else measured.graph_persistent_quantized_bytes
    size += graphs * shape.layers * measured.graph_layer_bytes
    if not shape.latent and not shape.experts and not fuses_fp8(shape, load):
        size += measured.allocator_captured * captured_bytes(shape, load)
    return Part("cuda_graphs", int(size), f"{graphs} captured graphs of {shape.layers} layers")


def captured_bytes(shape: ModelShape, load: Load) -> int:
    """Bytes of a hidden and an MLP unit each for every token of the largest captured batch."""
    units = shape.hidden_size + shape.intermediate_size // load.tensor_parallel
    return max(_capture_sizes(load)) * shape.dtype_bytes * units


def _allocator(shape: ModelShape, load: Load, measured: Constants) -> Part:
    if fuses_fp8(shape, load):
        size = measured.allocator_fp8_bytes
    else:
        batch = load.largest_batch * shape.dtype_bytes * shape.hidden_size
        size = measured.allocator_bytes + measured.allocator_hidden * batch
    if shape.quantization and shape.weight_bits < 8:
        size += measured.allocator_packed_bytes
    if shape.kind.norms > 2 or shape.kind.qk_norm or shape.kind.parallel:
        size += measured.allocator_norms_bytes
    return Part("allocator", int(size), "what PyTorch's allocator keeps beyond what is alive at once")


def kept_while_loading(shape: ModelShape, load: Load) -> int:
    """Bytes that the allocator keeps from loading the weights and can't use again."""
    if shape.quantization == "mxfp4" and shape.experts:
        weights = 3 * shape.experts.count * shape.hidden_size * shape.experts.intermediate_size
        layer = int(weights * shape.weight_bits / 8) // load.tensor_parallel
        return MXFP4_LAYERS_KEPT * layer + MXFP4_KERNELS_BYTES
    if shape.quantization in ("awq", "awq_marlin") and shape.tied_embeddings and load.compute_capability == "9.0":
        return (
            AWQ_TIED_EMBEDDINGS_KEPT * shape.vocab_size * shape.hidden_size * shape.dtype_bytes // load.tensor_parallel
        )
    return 0


def packed_on_cpu(shape: ModelShape, load: Load) -> int:
    """Bytes that packing adds on the CPU: a tied output layer a second time, and what the allocator keeps of the other originals."""
    head = shape.vocab_size * shape.hidden_size * shape.dtype_bytes if shape.tied_embeddings and load.samples else 0
    return head + int(CPU_ORIGINALS_KEPT * min(shape.linear_bytes, CPU_MOST_ORIGINALS_BYTES))


def _encoder(shape: ModelShape, load: Load, measured: Constants) -> Part:
    """The largest picture in the encoder, beyond what a batch takes there, and what waits for the language model.

    Source: vLLM, v1/core/encoder_cache_manager.py (the budget is the larger of a batch and one item). Read, not measured.
    """
    encoder, width = shape.encoders, shape.dtype_bytes
    running = encoder.patches * width * 3 * (encoder.hidden_size + encoder.intermediate_size)
    waiting = max(load.max_num_batched_tokens, encoder.tokens) * width * shape.hidden_size
    more = max(0, running - _activations(shape, load, measured).size_bytes)
    return Part("encoder", more + waiting, f"a picture or sound of up to {encoder.tokens} tokens")


def _lora(shape: ModelShape, load: Load) -> Part:
    query, key = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    attention = 2 * (shape.hidden_size + query) + 2 * (shape.hidden_size + key)
    mlp = 3 * (shape.hidden_size + shape.intermediate_size)
    size = (
        load.lora_slots * load.lora_rank * shape.layers * (attention + mlp) * shape.dtype_bytes // load.tensor_parallel
    )
    return Part("lora", size, f"{load.lora_slots} adapters of rank {load.lora_rank}")
