# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one engine process holds in steady state after traffic, part by part.

The law of each part and its source are in docs/memory-model.md, the measured figures in constants.py. `make bench-plan` prints the
errors.
"""

from __future__ import annotations

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import ahead
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan import overheads
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.constants import MEASURED, Constants
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.load import Load, Part
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import MIB

# FlashInfer's workspace, taken where FlashAttention has no kernel for an fp8 cache: its default size, read and not measured.
FLASHINFER_BYTES = 394 * MIB
# From so many sequences on the sampler's buffers, one for each multiprocessor, grow no more (v1/sample/ops/topk_topp_triton.py); what does
# is the table of what each sequence has said (v1/worker/gpu/sample/penalties.py) and its logits: floats a word, in two pairs of starts.
SAMPLER_BUFFERED = 256
SAMPLER_FLOATS_BEYOND = 1.25
# cuBLAS's workspace on Hopper, of each stream that multiplies.
CUBLAS_BYTES = 32 * MIB
# Graphs are captured for batches of at most this many tokens.
MOST_CAPTURED = 512
# Of what layers are handed besides the hidden states so many copies are alive at once, and of the streams of these. One start (Gemma 3n).
INPUTS_ALIVE, STREAMS_ALIVE = 2, 3


def parts(shape: ModelShape, load: Load, measured: Constants = MEASURED) -> tuple[Part, ...]:
    """Everything but the KV cache, in the order in which a person would ask."""
    weights = Part(
        "weights",
        weights_bytes(shape, load),
        f"{shape.layers} layers of {shape.hidden_size}, {shape.quantization or f'{shape.dtype_bytes * 8} bits a weight'}"
        + ("" if not shape.plain_parts else f"; {shape.plain_parts} stay in {shape.dtype_bytes * 8} bits"),
    )
    if load.on_cpu:
        runtime, packed = overheads.cpu_process(shape), overheads.packed_on_cpu(shape, load)
        return (runtime, weights, packed, _sampler(shape, load, measured), _activations(shape, load, measured))
    activations = _activations(shape, load, measured)
    found = [
        Part("context", int(measured.context_bytes), "CUDA context, loaded kernels, cuBLAS"),
        weights,
        _persistent(shape, load, measured),
        _sampler(shape, load, measured),
        activations,
    ]
    if load.tensor_parallel > 1:
        copies = measured.tensor_parallel_hidden * load.largest_batch * shape.dtype_bytes * shape.hidden_size
        size = int(measured.tensor_parallel_bytes + copies)
        found.append(Part("tensor_parallel", size, f"NCCL among {load.tensor_parallel} cards, and what it sums"))
    if load.stage is not None:
        # What NCCL takes among the cards of one host is the only figure there is, and the states of a batch are there twice on their way.
        size = int(measured.tensor_parallel_bytes) + 4 * load.largest_batch * shape.dtype_bytes * shape.hidden_size
        found.append(Part("pipeline", size, f"NCCL among {load.stage.count} hosts, and the states that they hand on"))
    if not load.enforce_eager:
        found.append(_graphs(shape, load, measured))
    if shape.latent:
        # Layers and the unfolding of latents take turns in the same memory.
        size = max(0, int(unfolded_latents(shape, load) - measured.latent_tensors * latent_layer(shape, load)))
        found.append(
            Part("attention_workspace", size, "latents of earlier chunks, unfolded, beyond what a layer takes")
        )
    if not shape.latent:
        found.append(_allocator(shape, load, measured))
    if shape.encoders.patches and load.encodes:
        found.append(overheads.encoder(shape, load, activations.size_bytes, measured))
    if load.reads_hidden:
        found.append(overheads.draft(shape, load))
    if (spilled := overheads.spilled_bytes(shape, load)) > 0:
        found.append(
            Part("spilled_registers", spilled, f"the sampler's kernel for {shape.vocab_size} words, an odd number")
        )
    if (kept := overheads.kept_while_loading(shape, load)) > 0:
        found.append(Part("loading", kept, "what stays reserved of weights put into another order while they load"))
    if load.fp8_cache and load.compute_capability != "9.0":
        found.append(Part("attention_workspace", FLASHINFER_BYTES, "FlashInfer serves an fp8 cache on this card"))
    if load.lora_slots:
        found.append(overheads.adapters(shape, load))
    return tuple(found)


def weights_bytes(shape: ModelShape, load: Load) -> int:
    """Bytes of the weights on each card."""
    whole = shape.weights_bytes()
    if shape.draft is not None and shape.given_weights_bytes is None:
        whole += shape.draft.weights_bytes()
    if load.ahead and shape.given_weights_bytes is None:
        whole += shape.ahead_bytes or shape.ahead_layers * _layer_ahead(shape)
    if not load.encodes and shape.given_weights_bytes is None:
        whole -= shape.encoders.parameters * shape.dtype_bytes
    return max(0, whole // load.tensor_parallel - load.offloaded_bytes)


def _layer_ahead(shape: ModelShape) -> int:
    """A layer like the model's last, with its experts where it has any, and what joins it to the last."""
    joined = 2 * shape.hidden_size**2 * shape.dtype_bytes
    if shape.architecture.startswith(ahead.WITHOUT_EXPERTS):
        attention = 2 * shape.hidden_size * (shape.heads + shape.kv_heads) * shape.head_dim
        return (attention + 3 * shape.hidden_size * shape.intermediate_size) * shape.dtype_bytes + joined
    if shape.experts is None or not shape.experts.layers:
        return shape.linear_bytes // max(1, shape.layers) + joined
    experts, dense = shape.experts, shape.layers - shape.experts.layers
    each = 3 * shape.hidden_size * shape.weight_bits / 8
    routed, shared = each * experts.count * experts.intermediate_size, each * experts.shared_intermediate_size
    others = shape.linear_bytes - experts.layers * (routed + shared) - dense * each * shape.dense_size
    return int(max(0, others) / shape.layers + routed + shared) + joined


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
    graphs = len(sizes) + sum(1 for size in sizes if size <= _most_whole(load))
    # With adapters each graph is captured twice, with and without them.
    return graphs * (2 if load.lora_slots else 1)


def _most_whole(load: Load) -> int:
    """Tokens of the largest batch whose graph is captured whole: every sequence with its guesses; none of pooling models."""
    return load.max_num_seqs * (1 + load.drafts) if load.samples else 0


def _capture_sizes(load: Load) -> tuple[int, ...]:
    most = min(2 * load.max_num_seqs * (1 + load.drafts), MOST_CAPTURED, load.max_num_batched_tokens)
    return load.capture_sizes or default_capture_sizes(most)


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
    hidden, mlp = shape.hidden_size, shape.dense_size // load.tensor_parallel
    attention = 2 * (shape.heads + shape.kv_heads) * shape.head_dim // load.tensor_parallel
    if shape.kind.gated:
        units = 3 * (hidden + mlp) + (hidden if shape.kind.parallel else 0)
    elif load.enforce_eager:
        units = hidden + 2 * mlp + (hidden if shape.kind.parallel else 0)
    else:
        # Compiled, what has no gate is activated in place; an attention that read the same input is beside it.
        units = mlp + (2 * hidden + attention if shape.kind.parallel else 4 * hidden)
    units += _wider_queries(shape, load) + INPUTS_ALIVE * shape.layer_inputs + STREAMS_ALIVE * shape.streams * hidden
    wide = tokens * width * max(units, 2 * hidden + attention, shape.state_units // load.tensor_parallel)
    if not is_fp8(shape):
        return wide
    narrow = tokens * (hidden + mlp)
    return narrow + (2 * tokens * width * (hidden + mlp) if fuses_fp8(shape, load) else wide)


def _wider_queries(shape: ModelShape, load: Load) -> int:
    """By how many units attention is wider than the hidden size. Compiled, its output stays beside the MLP, which is in the same piece."""
    queries = 0 if shape.only_states or shape.latent else shape.heads * shape.head_dim // load.tensor_parallel
    return 0 if load.enforce_eager else max(0, queries - shape.hidden_size)


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
    return rows * shape.dtype_bytes * (max(width, shape.hidden_size) + max(2 * width, shape.hidden_size))


def latent_layer(shape: ModelShape, load: Load) -> int:
    """Bytes of a layer's tensors where attention is latent: of its MLP, and a quarter of a row for each expert of a token."""
    routed = shape.experts.per_token if shape.experts else 0
    units = 3 * (shape.hidden_size + shape.dense_size // load.tensor_parallel) + routed * shape.hidden_size // 4
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
    inputs = load.max_num_batched_tokens * shape.layer_inputs * shape.dtype_bytes
    if inputs:
        reason += ", and each layer's own inputs"
    return Part("persistent_buffers", int(measured.persistent_bytes) + inputs + expert_workspace(shape, load), reason)


def _sampler(shape: ModelShape, load: Load, measured: Constants) -> Part:
    if not shape.has_kv_cache or not load.samples:
        return Part("sampler", 0, "an embedding model samples nothing")
    if not load.samples_here:
        return Part("sampler", 0, "the last stage samples")
    # Mixtures of experts are served by vLLM's older runner, whose sampler sorts whole copies.
    buffered = min(load.max_num_seqs, SAMPLER_BUFFERED)
    rows = measured.sampler_floats * buffered + SAMPLER_FLOATS_BEYOND * (load.max_num_seqs - buffered)
    if shape.experts and not shape.latent:
        rows += measured.expert_sampler_floats * load.max_num_seqs
    if shape.draft is not None and not load.reads_hidden:
        # Of every guess of a smaller model both models' words are compared in 32 bits (v1/sample/rejection_sampler.py).
        rows += load.drafts * load.max_num_seqs
    size = rows * 4 * shape.vocab_size
    return Part("sampler", int(size), f"{load.max_num_seqs} sequences of {shape.vocab_size} words")


def _activations(shape: ModelShape, load: Load, measured: Constants) -> Part:
    tokens, width = load.largest_batch, shape.dtype_bytes
    reason = f"the largest batch, {tokens} tokens"
    routed = shape.experts.per_token if shape.experts else 0
    if shape.latent:
        size = int(measured.latent_bytes + measured.latent_tensors * latent_layer(shape, load))
        states = tokens * width * shape.state_units // load.tensor_parallel
        return Part("activations", max(size, states), reason)
    if routed:
        router = 2 if shape.kind.wide_router else 0
        router_bytes = tokens * width * shape.hidden_size * (measured.expert_hidden + router)
        return Part("activations", tensors_alive(shape, load) + int(router_bytes), f"{reason} to {routed} experts each")
    return Part("activations", tensors_alive(shape, load), reason)


def _graphs(shape: ModelShape, load: Load, measured: Constants) -> Part:
    graphs = graph_count(load)
    plain = shape.quantization is None or load.online_fp8
    size = measured.graph_persistent_bytes if plain else measured.graph_persistent_quantized_bytes
    layers = shape.layers + (shape.draft.layers if shape.draft is not None else int(load.reads_hidden))
    size += graphs * layers * measured.graph_layer_bytes
    if not load.samples and plain:
        # Without full graphs cuBLAS's workspace is there once.
        size -= CUBLAS_BYTES
    if not shape.latent and not fuses_fp8(shape, load) and not _has_older_runner(shape, load):
        size += measured.allocator_captured * captured_bytes(shape, load)
    return Part("cuda_graphs", int(size), f"{graphs} captured graphs of {layers} layers")


def _has_older_runner(shape: ModelShape, load: Load) -> bool:
    """Whether vLLM 0.26 serves it with its older runner (config/vllm.py): experts, states, and drafts that don't read hidden states."""
    return bool(shape.experts) or shape.has_states or (load.drafts > 0 and not load.reads_hidden)


def captured_bytes(shape: ModelShape, load: Load) -> int:
    """Bytes of a hidden and an MLP unit each for every token of the largest batch that is captured whole."""
    units = shape.hidden_size + shape.dense_size // load.tensor_parallel
    largest = max((size for size in _capture_sizes(load) if size <= _most_whole(load)), default=0)
    return largest * shape.dtype_bytes * units


def _allocator(shape: ModelShape, load: Load, measured: Constants) -> Part:
    if fuses_fp8(shape, load):
        size = measured.allocator_fp8_bytes
    else:
        batch = load.largest_batch * shape.dtype_bytes * shape.hidden_size
        size = measured.allocator_bytes + measured.allocator_hidden * batch
        # A layer with experts is compiled in shorter pieces: half of it was seen in one pair of starts.
        wider = measured.allocator_queries / (2 if shape.experts else 1)
        size += wider * load.largest_batch * shape.dtype_bytes * _wider_queries(shape, load)
    if shape.quantization and shape.weight_bits < 8:
        size += measured.allocator_packed_bytes
    if shape.kind.norms > 2 or shape.kind.qk_norm or shape.kind.parallel:
        size += measured.allocator_norms_bytes
    return Part("allocator", int(size), "what PyTorch's allocator keeps beyond what is alive at once")
