# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Hugging Face config.json says of a model's memory: its weights, and what a token costs in the KV cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import round_up

BLOCK_TOKENS = 16
_DTYPE_BYTES = {"float16": 2, "half": 2, "bfloat16": 2, "float32": 4, "float": 4}
# Bits that one quantized weight takes with its scales and zero points (16 bits each for a group of 128).
_QUANT_BITS = {
    "fp8": 8.0,
    "fbgemm_fp8": 8.0,
    "awq": 4 + 32 / 128,
    "awq_marlin": 4 + 32 / 128,
    "gptq": 4 + 32 / 128,
    "gptq_marlin": 4 + 32 / 128,
    "bitsandbytes": 4 + 32 / 64,
    "modelopt_fp4": 4 + 8 / 16,
    "nvfp4": 4 + 8 / 16,
    "modelopt": 8.0,
}
_QKV_BIAS = {"Qwen2ForCausalLM", "Qwen2MoeForCausalLM"}
_QK_NORM = {"Qwen3ForCausalLM", "Qwen3MoeForCausalLM", "Gemma3ForCausalLM"}
_FOUR_NORMS = {"Gemma2ForCausalLM", "Gemma3ForCausalLM"}
_TIED_BY_DEFAULT = {"Gemma2ForCausalLM", "Gemma3ForCausalLM", "GemmaForCausalLM"}
_MLA = {"DeepseekV2ForCausalLM", "DeepseekV3ForCausalLM"}
_MOE = {"MixtralForCausalLM", "Qwen3MoeForCausalLM", "Qwen2MoeForCausalLM", *_MLA}
_EMBEDDING = {"BertModel", "RobertaModel", "XLMRobertaModel", "NomicBertModel", "ModernBertModel"}
_DENSE = {
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "Phi3ForCausalLM",
    "GemmaForCausalLM",
    *_QKV_BIAS,
    *_QK_NORM,
    *_FOUR_NORMS,
}
KNOWN_ARCHITECTURES = frozenset(_DENSE | _MOE | _EMBEDDING)


@dataclass(frozen=True)
class Experts:
    """The mixture-of-experts part: how many experts, how many a token, how wide, in how many layers."""

    count: int
    per_token: int
    intermediate_size: int
    shared_intermediate_size: int
    layers: int


@dataclass(frozen=True)
class Latent:
    """Multi-head latent attention (DeepSeek): ranks and head dimensions."""

    kv_rank: int
    q_rank: int | None
    nope_dim: int
    rope_dim: int
    value_dim: int


@dataclass(frozen=True)
class ModelShape:
    """The numbers of one model that decide on its memory."""

    architecture: str
    layers: int
    hidden_size: int
    intermediate_size: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab_size: int
    tied_embeddings: bool
    dtype_bytes: int
    quantization: str | None
    weight_bits: float
    max_positions: int
    sliding_window: int | None = None
    sliding_layers: int = 0
    experts: Experts | None = None
    latent: Latent | None = None
    has_kv_cache: bool = True
    known: bool = True

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], dtype: str = "auto", quantization: str | None = None, where: str = "config"
    ) -> ModelShape:
        """Read a config.json; dtype and quantization are the user's and win over the file's."""
        if not isinstance(config, Mapping):
            raise FleetError(f"{where}: it is not a mapping.", "Hand over what the model's config.json holds.", where)
        config = config.get("text_config") or config
        names = config.get("architectures") or []
        architecture = str(names[0]) if names else "unknown"
        hidden = _whole(config, "hidden_size", where)
        heads = _whole(config, "num_attention_heads", where)
        layers = _whole(config, "num_hidden_layers", where)
        named_dtype = str(config.get("torch_dtype") or config.get("dtype") or "float16").removeprefix("torch.")
        if dtype == "auto" and named_dtype in ("float32", "float"):
            # vLLM serves a checkpoint in float32 as float16 unless told otherwise.
            named_dtype = "float16"
        dtype_bytes = _DTYPE_BYTES.get(dtype if dtype != "auto" else named_dtype, 2)
        method, bits = _quantization(config, quantization, dtype_bytes)
        window, sliding_layers = _sliding(config, layers)
        head_dim = config.get("head_dim")
        return cls(
            architecture=architecture,
            layers=layers,
            hidden_size=hidden,
            intermediate_size=_whole(config, "intermediate_size", where),
            heads=heads,
            kv_heads=_whole(config, "num_key_value_heads", where, heads),
            head_dim=_whole(config, "head_dim", where) if head_dim is not None else max(1, hidden // heads),
            vocab_size=_whole(config, "vocab_size", where),
            tied_embeddings=bool(config.get("tie_word_embeddings", architecture in _TIED_BY_DEFAULT)),
            dtype_bytes=dtype_bytes,
            quantization=method,
            weight_bits=bits,
            max_positions=_whole(config, "max_position_embeddings", where, 2**31 - 1),
            sliding_window=window,
            sliding_layers=sliding_layers,
            experts=_experts(config, layers, where) if _has_experts(config) else None,
            latent=_latent(config, where) if config.get("kv_lora_rank") else None,
            has_kv_cache=architecture not in _EMBEDDING,
            known=architecture in KNOWN_ARCHITECTURES,
        )

    def weights_bytes(self) -> int:
        """Bytes of the weights as the engine holds them, counted tensor by tensor.

        Source: the layers' shapes in vLLM's models. Embeddings, norms and the router stay in the model's dtype; the linear
        layers take the quantization's bits. The vocabulary is padded to a multiple of 64.
        """
        vocabulary = round_up(self.vocab_size, 64) * self.hidden_size * (1 if self.tied_embeddings else 2)
        norms = (4 if self.architecture in _FOUR_NORMS else 2) * self.hidden_size * self.layers + self.hidden_size
        small = norms + self._router_parameters()
        if self.architecture in _QK_NORM:
            small += 2 * self.head_dim * self.layers
        if self.architecture in _QKV_BIAS:
            small += (self.heads + 2 * self.kv_heads) * self.head_dim * self.layers
        linear = (self._attention_parameters() * self.layers + self._mlp_parameters()) * self.weight_bits / 8
        copies = 0
        if self.latent:
            # The latent's up-projection is kept a second time, split for decoding.
            up = self.latent.kv_rank * self.heads * (self.latent.nope_dim + self.latent.value_dim)
            copies = up * self.layers * self.dtype_bytes
        rotary = self.latent.rope_dim if self.latent else self.head_dim
        # One table of cosines and sines, as long as the model's context.
        tables = min(self.max_positions, 2**20) * rotary
        return int((vocabulary + small + tables) * self.dtype_bytes + linear + copies)

    def _attention_parameters(self) -> int:
        if self.latent is None:
            return self.hidden_size * self.head_dim * (2 * self.heads + 2 * self.kv_heads)
        latent, query = self.latent, self.heads * (self.latent.nope_dim + self.latent.rope_dim)
        down = self.hidden_size * (latent.kv_rank + latent.rope_dim)
        up = latent.kv_rank * self.heads * (latent.nope_dim + latent.value_dim)
        out = self.heads * latent.value_dim * self.hidden_size
        asked = self.hidden_size * query if not latent.q_rank else latent.q_rank * (self.hidden_size + query)
        return down + up + out + asked

    def _mlp_parameters(self) -> int:
        gated = 3 * self.hidden_size
        if not self.has_kv_cache:
            gated = 2 * self.hidden_size  # encoders have no gate
        if self.experts is None:
            return gated * self.intermediate_size * self.layers
        experts = self.experts
        sparse = gated * (experts.count * experts.intermediate_size + experts.shared_intermediate_size) * experts.layers
        return sparse + gated * self.intermediate_size * (self.layers - experts.layers)

    def _router_parameters(self) -> int:
        return self.hidden_size * self.experts.count * self.experts.layers if self.experts else 0

    def kv_bytes_per_token_layer(self, kv_dtype_bytes: float, tensor_parallel: int = 1) -> int:
        """Bytes of one token in one layer's cache, on one GPU."""
        if self.latent:
            # One latent a token, the same on every GPU of a tensor-parallel group.
            return int((self.latent.kv_rank + self.latent.rope_dim) * kv_dtype_bytes)
        return int(2 * max(1, self.kv_heads // tensor_parallel) * self.head_dim * kv_dtype_bytes)

    def kv_pool(self, kv_dtype_bytes: float, tensor_parallel: int = 1) -> KvPool:
        """How the engine cuts the cache into blocks for this model."""
        page = BLOCK_TOKENS * self.kv_bytes_per_token_layer(kv_dtype_bytes, tensor_parallel)
        full = self.layers - self.sliding_layers
        if self.sliding_layers == 0 or self.sliding_window is None or full == 0:
            return KvPool(page * self.layers, 0, None)
        # Layers of one kind are put into groups of equal size that share a pool of blocks.
        group = min(full, self.sliding_layers)
        groups = -(-self.sliding_layers // group)
        return KvPool(page * group, groups, self.sliding_window, full_groups=-(-full // group))


@dataclass(frozen=True)
class KvPool:
    """Blocks of BLOCK_TOKENS tokens: what one takes, and how many a request of some length needs."""

    block_bytes: int
    sliding_groups: int
    sliding_window: int | None
    full_groups: int = 1

    def blocks_per_request(self, length: int, batched_tokens: int) -> int:
        """Blocks that one request of this length can hold at most."""
        whole = -(-length // BLOCK_TOKENS) * self.full_groups
        if not self.sliding_groups or self.sliding_window is None:
            return whole
        # A window keeps its own tokens and those in flight, and one block is shared at its edge.
        inside = min(self.sliding_window - 1 + batched_tokens, length)
        return whole + self.sliding_groups * (-(-inside // BLOCK_TOKENS) + 1)

    def request_bytes(self, length: int, batched_tokens: int) -> int:
        """Bytes of one request of this length."""
        return self.blocks_per_request(length, batched_tokens) * self.block_bytes

    def concurrency(self, kv_bytes: int, length: int, batched_tokens: int) -> float:
        """Full-length requests that fit, as the engine logs it."""
        return (kv_bytes // self.block_bytes) / self.blocks_per_request(length, batched_tokens)

    def tokens(self, kv_bytes: int, length: int, batched_tokens: int) -> int:
        """Tokens that fit, as the engine logs it."""
        if not self.sliding_groups:
            return kv_bytes // self.block_bytes * BLOCK_TOKENS
        return int(self.concurrency(kv_bytes, length, batched_tokens) * length)


def _whole(config: Mapping[str, Any], key: str, where: str, default: int | None = None) -> int:
    value = config.get(key)
    if value is None and default is not None:
        return default
    if value is None:
        raise FleetError(f"{where}: it has no {key}.", "Hand over the model's whole config.json.", f"{where}.{key}")
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 2**40:
        raise FleetError(
            f"{where}.{key}: {value!r} is no size of a model.",
            "Hand over the config.json as published.",
            f"{where}.{key}",
        )
    return value


def _quantization(config: Mapping[str, Any], asked: str | None, dtype_bytes: int) -> tuple[str | None, float]:
    section = config.get("quantization_config") or {}
    method = str(section.get("quant_method") or "") or asked
    if not method:
        return None, 8.0 * dtype_bytes
    if method == "compressed-tensors":
        groups = (section.get("config_groups") or {}).values()
        weights = [group.get("weights") or {} for group in groups if isinstance(group, Mapping)]
        bits = float(min((int(item.get("num_bits", 16)) for item in weights), default=8))
        per_scale = next((item.get("group_size") for item in weights if item.get("group_size")), None)
        return method, bits + (16 / per_scale if isinstance(per_scale, int) and per_scale > 0 else 0)
    bits = _QUANT_BITS.get(method, 8.0 * dtype_bytes)
    if method.startswith(("gptq", "awq")) and isinstance(section.get("bits"), int):
        group = section.get("group_size") or 128
        bits = section["bits"] + 32 / (group if isinstance(group, int) and group > 0 else 4096)
    return method, bits


def _sliding(config: Mapping[str, Any], layers: int) -> tuple[int | None, int]:
    window = config.get("sliding_window")
    if not isinstance(window, int) or isinstance(window, bool) or window <= 0:
        return None, 0
    kinds = config.get("layer_types")
    if isinstance(kinds, list):
        return window, sum(1 for kind in kinds if kind == "sliding_attention")
    if config.get("use_sliding_window") is False:
        return None, 0
    architecture = (config.get("architectures") or [""])[0]
    pattern = config.get("sliding_window_pattern") or {"Gemma2ForCausalLM": 2, "Gemma3ForCausalLM": 6}.get(architecture)
    if isinstance(pattern, int) and pattern > 1:
        return window, layers - layers // pattern
    # One window for every layer (Mistral, Phi-3): planned as full attention, which is never less.
    return None, 0


def _has_experts(config: Mapping[str, Any]) -> bool:
    return any(config.get(key) for key in ("num_local_experts", "num_experts", "n_routed_experts"))


def _experts(config: Mapping[str, Any], layers: int, where: str) -> Experts:
    key = next(key for key in ("num_local_experts", "num_experts", "n_routed_experts") if config.get(key))
    width = _whole(config, "moe_intermediate_size", where, _whole(config, "intermediate_size", where))
    shared = config.get("shared_expert_intermediate_size") or int(config.get("n_shared_experts") or 0) * width
    dense = int(config.get("first_k_dense_replace") or 0) + len(config.get("mlp_only_layers") or [])
    return Experts(
        count=_whole(config, key, where),
        per_token=_whole(config, "num_experts_per_tok", where, 2),
        intermediate_size=width,
        shared_intermediate_size=int(shared),
        layers=max(0, layers - dense),
    )


def _latent(config: Mapping[str, Any], where: str) -> Latent:
    return Latent(
        kv_rank=_whole(config, "kv_lora_rank", where),
        q_rank=config.get("q_lora_rank"),
        nope_dim=_whole(config, "qk_nope_head_dim", where),
        rope_dim=_whole(config, "qk_rope_head_dim", where),
        value_dim=_whole(config, "v_head_dim", where),
    )
