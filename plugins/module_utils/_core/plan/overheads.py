# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only some engines hold: encoders, drafts, adapters, kernels that spill registers, weights put into another order."""

from __future__ import annotations

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine import vllm
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.kv_pool import Kind
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.constants import Constants
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.load import Load, Part
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import MIB

# MXFP4 experts are put into another order while they load, and so much of one layer's stays reserved; the kernels that multiply them are
# loaded by the driver. Seen in one start (gpt-oss 20b on an H100).
MXFP4_LAYERS_KEPT = 3
MXFP4_KERNELS_BYTES = 290 * MIB
# The kernel that samples by top-k and top-p is compiled for each size of a vocabulary (vLLM, v1/sample/ops/topk_topp_triton.py). Of odd
# ones from its sixth tile on its registers spill, and the driver sets so much aside for all threads of the card: by how many entries of
# the last tile are filled, as ten starts on an H100 with a vocabulary each have shown (0, 112, 154 to 377 MiB).
SAMPLER_TILE = 8192
SPILLS_FROM = 5 * SAMPLER_TILE
FEW_ENTRIES, MANY_ENTRIES = 64, 6144
SPILLED_FEW_BYTES, SPILLED_BYTES = 112 * MIB, 377 * MIB
# AWQ's layers are unpacked to eight times their size and packed anew while they load, GPTQ's are copied, which leaves holes between
# segments, and weights in blocks that were larger: with segments that don't grow (engine/vllm.py: environment) so much of what is
# repacked, and this much at most. Computed request by request for AWQ of 26 models (tests/bench/repacking.py), before small tensors fill
# some of the holes: 20 to 378 MiB; starts took 133 and 319 of AWQ, 275 and 129 of GPTQ with 4 bits and with 8.
REPACKED_KEPT = 0.08
REPACKED_MOST_KEPT_BYTES = 256 * MIB
# A second set of graphs and buffers for a draft, and hidden units a batched token: the states that it reads and hands on. Two starts
# with EAGLE 3, one with EAGLE, three with layers ahead: 51 MiB under at most, and 200 over where three layers' states are read.
DRAFT_BYTES = 106 * MIB
DRAFT_HIDDEN = 4.5
# A pixel is there in 32 bits, and again in the encoder's 16.
PIXEL_COPIES = 3
# An engine on the CPU: Python, torch and the compiled kernels, as proportional set size; and a tokenizer's word, in all processes that
# have one (SmolLM2's 49,152 words took 165 MiB of two).
CPU_PROCESS_BYTES = 1256 * MIB
CPU_WORD_BYTES = 3584
# oneDNN packs every linear layer into a copy (vLLM, layers/utils.py: dispatch_cpu_unquantized_gemm). The allocator was seen to keep
# three quarters of the originals of SmolLM2's 200 MiB; of larger models the next layers take their place.
CPU_ORIGINALS_KEPT = 0.75
CPU_MOST_ORIGINALS_BYTES = 256 * MIB


def cpu_process(shape: ModelShape) -> Part:
    """What an engine's processes on the CPU take beside the model."""
    words = CPU_WORD_BYTES * shape.vocab_size
    return Part("context", CPU_PROCESS_BYTES + words, "Python, torch, tokenizers and the engine's own processes")


def packed_on_cpu(shape: ModelShape, load: Load) -> Part:
    """What packing adds on the CPU: a tied output layer a second time, and what the allocator keeps of the other originals."""
    head = (
        shape.vocab_size * shape.hidden_size * shape.dtype_bytes if shape.tied_embeddings and load.samples_here else 0
    )
    size = head + int(CPU_ORIGINALS_KEPT * min(shape.linear_bytes, CPU_MOST_ORIGINALS_BYTES))
    return Part("loading", size, "copies of linear layers as the CPU multiplies them")


def spilled_bytes(shape: ModelShape, load: Load) -> int:
    """Bytes that the driver sets aside for registers that the sampler's kernel spills."""
    vocabulary = shape.vocab_size
    if not load.samples_here or not shape.has_kv_cache or vocabulary % 2 == 0 or vocabulary <= SPILLS_FROM:
        return 0
    last = vocabulary % SAMPLER_TILE
    if last >= MANY_ENTRIES:
        return 0
    # Whisper took 73 MiB at most.
    hears = any(kept.kind is Kind.CROSS for kept, _count in shape.keeps)
    return SPILLED_FEW_BYTES if last < FEW_ENTRIES or hears else SPILLED_BYTES


def kept_while_loading(shape: ModelShape, load: Load) -> int:
    """Bytes that the allocator keeps from loading the weights and can't use again."""
    experts = 0
    if shape.experts:
        weights = 3 * shape.experts.count * shape.hidden_size * shape.experts.intermediate_size
        experts = int(weights * shape.weight_bits / 8)
    if shape.quantization == "mxfp4" and shape.experts:
        return MXFP4_LAYERS_KEPT * experts // load.tensor_parallel + MXFP4_KERNELS_BYTES
    if shape.quantization in (*vllm.UNPACKED, *vllm.COPIED):
        repacked = shape.linear_bytes - experts * (shape.experts.layers if shape.experts else 0)
        return max(0, min(int(REPACKED_KEPT * repacked), REPACKED_MOST_KEPT_BYTES)) // load.tensor_parallel
    return 0


def encoder(shape: ModelShape, load: Load, activations: int, measured: Constants) -> Part:
    """The largest picture in the encoder, beyond what a batch takes there, and what waits for the language model.

    Source: vLLM, v1/core/encoder_cache_manager.py (the budget is the larger of a batch and one item); seen in eleven starts.
    """
    found, width = shape.encoders, shape.dtype_bytes
    units = 3 * (found.hidden_size + found.intermediate_size) + PIXEL_COPIES * found.pixels + found.patch_units
    running = found.patches * width * units
    waiting = max(load.max_num_batched_tokens, found.tokens) * width * shape.hidden_size
    wider = found.patches * found.hidden_size - load.largest_batch * shape.hidden_size
    holes = int(measured.allocator_hidden * width * max(0, wider))
    size = max(0, running - activations) + waiting + holes
    return Part("encoder", size, f"a picture or sound of up to {found.tokens} tokens")


def draft(shape: ModelShape, load: Load) -> Part:
    """What a draft that reads the model's hidden states works in."""
    size = DRAFT_BYTES + int(DRAFT_HIDDEN * load.largest_batch) * shape.dtype_bytes * shape.hidden_size
    return Part("draft", size, "graphs and buffers of the draft, and the hidden states that it reads")


def adapters(shape: ModelShape, load: Load) -> Part:
    """Stacked tensors of LoRA, for each linear layer."""
    query, key = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    attention = 2 * (shape.hidden_size + query) + 2 * (shape.hidden_size + key)
    mlp = 3 * (shape.hidden_size + shape.intermediate_size)
    units = load.lora_slots * load.lora_rank * shape.layers * (attention + mlp)
    size = units * shape.dtype_bytes // load.tensor_parallel
    return Part("lora", size, f"{load.lora_slots} adapters of rank {load.lora_rank}")
