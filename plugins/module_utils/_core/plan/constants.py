# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures of the memory model that are measured, not derived.

MEASURED is what tests/bench/memory_fit.py finds over all measured starts (tests/data/measurements), rounded; none comes from one
start, and a test holds them to it.
"""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import MIB


@dataclass(frozen=True)
class Constants:
    """Bytes where a name says so; factors are of the tensors' own bytes."""

    # What the driver counts for a process beside PyTorch's allocator: the context, loaded kernels, cuBLAS; and for a graph and layer.
    context_bytes: float
    graph_layer_bytes: float
    # NCCL's channels and buffers on each rank, measured over NVLink, and hidden units a batched token that it sums.
    tensor_parallel_bytes: float
    tensor_parallel_hidden: float
    # Tensors that stay: cuBLAS's workspace and input buffers; floats a sequence and vocabulary entry (penalty tables, logits); with
    # graphs their inputs and outputs, and cuBLAS's workspace once more, which quantized layers don't ask for.
    persistent_bytes: float
    sampler_floats: float
    graph_persistent_bytes: float
    graph_persistent_quantized_bytes: float
    # What PyTorch's allocator keeps beyond the tensors alive at once: always; hidden units a batched token; hidden and MLP units a token
    # of the largest captured batch; where layers have further norms; where weights are packed, several in a byte or word; and all of it
    # where fp8 weights are compiled with activations.
    allocator_bytes: float
    allocator_hidden: float
    # By how much queries are wider than the hidden size, in compiled models.
    allocator_queries: float
    allocator_captured: float
    allocator_norms_bytes: float
    allocator_packed_bytes: float
    allocator_fp8_bytes: float
    # Experts: hidden units a batched token beyond one for each expert; floats a sequence and vocabulary entry of the older sampler.
    expert_hidden: float
    expert_sampler_floats: float
    # Latent attention: always; a factor of the layers' tensors.
    latent_bytes: float
    latent_tensors: float
    # Of the activations, what an engine with graphs takes only once batches fill: it gave it back after it had measured itself.
    traffic: float
    expert_traffic: float


MEASURED = Constants(
    context_bytes=753 * MIB,
    graph_layer_bytes=0.099 * MIB,
    tensor_parallel_bytes=805 * MIB,
    tensor_parallel_hidden=2.4,
    persistent_bytes=38 * MIB,
    sampler_floats=1.75,
    graph_persistent_bytes=68 * MIB,
    graph_persistent_quantized_bytes=1 * MIB,
    allocator_bytes=32 * MIB,
    allocator_hidden=3.09,
    allocator_queries=5.65,
    allocator_captured=29.2,
    allocator_norms_bytes=54 * MIB,
    allocator_packed_bytes=46 * MIB,
    allocator_fp8_bytes=135 * MIB,
    expert_hidden=1.74,
    expert_sampler_floats=1.09,
    latent_bytes=283 * MIB,
    latent_tensors=2.32,
    traffic=1.11,
    expert_traffic=1.19,
)
