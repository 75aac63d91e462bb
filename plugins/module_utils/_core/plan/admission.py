# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much an engine takes on before it tells the next to come back: from its cache, and from how soon a first token is wanted.

vLLM 0.29 and later refuse with 503 what would wait too long (--max-num-queued-reqs, --max-num-queued-tokens); older ones take all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine.vllm import MOST_SEQUENCES
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import Gpu
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape

# Requests that may wait for each that is worked on; the gateway's own default (gateway_queue_factor).
QUEUE_FACTOR = 4
LONGEST_OBJECTIVE_S = 3600
# Of a tensor core's peak, what reading prompts reaches; engines were seen at 0.4 to 0.6, and too little here only refuses earlier.
EFFICIENCY = 0.4
# Dense 16-bit tensor operations a second with 32-bit sums, in 10^12, by their makers' data sheets.
TERAFLOPS = {
    "NVIDIA GeForce RTX 5090": 209.5,
    "NVIDIA GeForce RTX 5080": 112.6,
    "NVIDIA GeForce RTX 4090": 165.2,
    "NVIDIA GeForce RTX 4080": 97.5,
    "NVIDIA GeForce RTX 3090": 71.0,
    "NVIDIA GeForce RTX 3080": 59.5,
    "NVIDIA RTX A6000": 154.8,
    "NVIDIA RTX 6000 Ada Generation": 364.2,
    "Tesla T4": 65.0,
    "NVIDIA A10": 125.0,
    "NVIDIA L4": 121.0,
    "NVIDIA L40S": 362.0,
    "NVIDIA A100-SXM4-40GB": 312.0,
    "NVIDIA A100-SXM4-80GB": 312.0,
    "NVIDIA H100 80GB HBM3": 989.0,
    "NVIDIA H200": 989.0,
}


@dataclass(frozen=True)
class Bounds:
    """What is taken on: requests worked on and waiting, and tokens of prompts that are not read yet; None for no bound."""

    requests: int
    tokens: int | None
    notes: tuple[str, ...] = ()


def objective(value: Any, where: str = "vllm_stack_ttft_objective_s") -> float:
    """The seconds within which a first token is wanted, 0 for no wish."""
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1
    if not 0 <= seconds <= LONGEST_OBJECTIVE_S:
        fail(
            where,
            f"{value} is no time to wait for a first token.",
            f"Take seconds up to {LONGEST_OBJECTIVE_S}, such as 2, or 0 for no objective.",
        )
    return seconds


def active_parameters(shape: ModelShape) -> int:
    """Parameters that a token is multiplied with: of a mixture of experts, those that it goes through."""
    experts = shape.experts
    if experts is None:
        return shape.parameters()
    width = experts.latent_size or shape.hidden_size
    idle = 3 * width * experts.intermediate_size * max(0, experts.count - experts.per_token) * experts.layers
    return max(shape.parameters() - idle, shape.plain_parameters)


def prefill_rate(shape: ModelShape, gpu: Gpu, ranks: int) -> float | None:
    """Tokens of prompts that are read in a second, at least; None for a card whose speed is not known."""
    speed = TERAFLOPS.get(gpu.name)
    if speed is None:
        return None
    # A multiplication and an addition a parameter and token.
    return EFFICIENCY * speed * 1e12 * ranks / (2 * active_parameters(shape))


def bounds(
    max_num_seqs: int, max_num_batched_tokens: int, cache_tokens: int, rate: float | None, ttft_objective_s: float
) -> Bounds:
    """Return what an engine takes on.

    Requests: QUEUE_FACTOR waiting for each that is worked on, and never fewer than one request may ask for answers (n), or that one would
    be refused for good. Tokens: as many as the cache holds, since more could not be begun before others end; with an objective no more
    than are read in that time, and never less than one batch.
    """
    requests = max(max_num_seqs * (1 + QUEUE_FACTOR), MOST_SEQUENCES)
    if not ttft_objective_s:
        return Bounds(requests, cache_tokens or None)
    if rate is None:
        note = "vllm_stack_ttft_objective_s: how fast this card reads prompts is not known; as many wait as the cache holds"
        return Bounds(requests, cache_tokens or None, (note,))
    in_time = max(int(rate * ttft_objective_s), max_num_batched_tokens)
    return Bounds(requests, min(in_time, cache_tokens) if cache_tokens else in_time)
