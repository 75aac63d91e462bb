# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Hugging Face config.json says of a model's memory: its weights, and what a token costs in the KV cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import quantization as quantizations
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.architectures import (
    ALIASES,
    ARCHITECTURES,
    LLAMA,
    NESTED,
    Architecture,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.kv_pool import BLOCK_TOKENS, KvPool
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import round_up

_DTYPE_BYTES = {"float16": 2, "half": 2, "bfloat16": 2, "float32": 4, "float": 4}
# A checkpoint that is this much larger or smaller than its tensors counted holds what we don't know of.
_COUNT_IS_RIGHT = 0.02


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
    known_quantization: bool = True
    fp8_cache: bool = False
    attention_bias: bool = False
    token_types: int = 0
    vision_parameters: int = 0
    given_weights_bytes: int | None = None
    checkpoint_bytes: int | None = None

    @classmethod
    def from_config(
        cls,
        config: Mapping[str, Any],
        dtype: str = "auto",
        quantization: str | None = None,
        where: str = "config",
        weights_bytes: int | None = None,
        checkpoint_bytes: int | None = None,
    ) -> ModelShape:
        """Read a config.json.

        dtype, quantization and weights_bytes are the user's and win over the file's; checkpoint_bytes is the total_size of the
        safetensors index, or of the files, where they are there.
        """
        if not isinstance(config, Mapping):
            raise FleetError(f"{where}: it is not a mapping.", "Hand over what the model's config.json holds.", where)
        outer, config = config, _text_config(config)
        names = config.get("architectures")
        architecture = str(names[0]) if isinstance(names, Sequence) and not isinstance(names, str) and names else ""
        kind = ARCHITECTURES.get(architecture, LLAMA)
        hidden = _whole(config, "hidden_size", where)
        heads = _whole(config, "num_attention_heads", where)
        layers = _whole(config, "num_hidden_layers", where)
        named_dtype = str(_first(config, outer, "torch_dtype", "dtype") or "float16").removeprefix("torch.")
        stored_bytes = _DTYPE_BYTES.get(named_dtype, 2)
        # vLLM serves a checkpoint in float32 as float16 unless told otherwise.
        dtype_bytes = _DTYPE_BYTES.get(dtype, 2) if dtype != "auto" else min(2, stored_bytes)
        quantized = quantizations.read(
            config if config.get("quantization_config") else outer, quantization, dtype_bytes, hidden
        )
        window, sliding_layers = _sliding(config, layers, kind)
        on_disk = checkpoint_bytes
        if quantized.method is None and checkpoint_bytes is not None:
            on_disk = checkpoint_bytes * dtype_bytes // stored_bytes
        elif quantization and not _first(config, outer, "quantization_config"):
            # What is quantized while it loads is not on the disk in that size.
            on_disk = None
        vision = outer.get("vision_config") if outer is not config else None
        return cls(
            architecture=architecture or "of no name",
            layers=layers,
            hidden_size=hidden,
            intermediate_size=_whole(config, "intermediate_size", where, 4 * hidden if kind.encoder else None),
            heads=heads,
            kv_heads=_whole(config, "num_key_value_heads", where, heads),
            head_dim=_whole(config, "head_dim", where, max(1, hidden // heads)),
            vocab_size=_whole(config, "vocab_size", where),
            tied_embeddings=not kind.head or bool(_first(config, outer, "tie_word_embeddings", default=kind.tied)),
            dtype_bytes=dtype_bytes,
            quantization=quantized.method,
            weight_bits=quantized.weight_bits,
            max_positions=_whole(config, "max_position_embeddings", where, 2**31 - 1),
            sliding_window=window,
            sliding_layers=sliding_layers,
            experts=_experts(config, layers, where) if _has_experts(config) else None,
            latent=_latent(config, where) if config.get("kv_lora_rank") else None,
            has_kv_cache=not kind.encoder,
            known=architecture in ARCHITECTURES and outer is config,
            known_quantization=quantized.known,
            fp8_cache=quantized.fp8_cache,
            attention_bias=config.get("attention_bias") is True,
            token_types=_whole(config, "type_vocab_size", where, 2) if kind.bias else 0,
            vision_parameters=_vision_parameters(vision) if isinstance(vision, Mapping) else 0,
            given_weights_bytes=weights_bytes,
            checkpoint_bytes=on_disk,
        )

    @property
    def kind(self) -> Architecture:
        """What sets its tensors apart from a Llama's."""
        return ARCHITECTURES.get(self.architecture, LLAMA)

    def weights_bytes(self) -> int:
        """Bytes of the weights as the engine holds them: what the user gave, or counted tensor by tensor.

        Source: the layers' shapes in vLLM's models. Embeddings, norms and the router stay in the model's dtype; the linear
        layers take the quantization's bits. The vocabulary is padded to a multiple of 64. Where the checkpoint's own size is known
        and far from the count, the checkpoint is right.
        """
        if self.given_weights_bytes is not None:
            return self.given_weights_bytes
        padding = (round_up(self.vocab_size, 64) - self.vocab_size) * self.hidden_size
        plain = self._plain_parameters() + padding * (1 if self.tied_embeddings else 2)
        linear = self._linear_parameters() * self.weight_bits / 8
        copies = 0
        if self.latent:
            # The latent's up-projection is kept a second time, split for decoding.
            up = self.latent.kv_rank * self.heads * (self.latent.nope_dim + self.latent.value_dim)
            copies = up * self.layers * self.dtype_bytes
        rotary = self.latent.rope_dim if self.latent else self.head_dim
        # One table of cosines and sines, as long as the model's context; BERT learned its positions.
        tables = 0 if self.kind.bias else min(self.max_positions, 2**20) * rotary * self.dtype_bytes
        counted = int(plain * self.dtype_bytes + tables + linear + copies)
        return counted if self.count_is_right else (self.checkpoint_bytes or 0) + tables + copies

    @property
    def count_is_right(self) -> bool:
        """Whether the tensors counted are those of the checkpoint, as far as its size is known."""
        if self.checkpoint_bytes is None:
            return True
        counted = self._plain_parameters() * self.dtype_bytes + self._linear_parameters() * self.weight_bits / 8
        return abs(self.checkpoint_bytes / counted - 1) <= _COUNT_IS_RIGHT

    def parameters(self) -> int:
        """Parameters as they are published: every tensor once, tied embeddings too."""
        return self._plain_parameters() + self._linear_parameters()

    def _linear_parameters(self) -> int:
        return self._attention_parameters() * self.layers + self._mlp_parameters()

    def _plain_parameters(self) -> int:
        """Embeddings, norms, biases and routers: what a quantization leaves alone."""
        kind, hidden = self.kind, self.hidden_size
        found = self.vocab_size * hidden * (1 if self.tied_embeddings else 2)
        found += self._router_parameters() + self.vision_parameters
        if kind.bias:
            positions = (min(self.max_positions, 2**20) + self.token_types) * hidden
            layer = 4 * hidden + self.intermediate_size + hidden + 4 * hidden
            return found + positions + 2 * hidden + layer * self.layers
        found += kind.norms * hidden * self.layers + hidden
        if kind.qk_norm:
            found += 2 * self.head_dim * self.layers
        if kind.qkv_bias or self.attention_bias:
            found += (self.heads + 2 * self.kv_heads) * self.head_dim * self.layers
        if self.latent:
            found += (self.latent.kv_rank + (self.latent.q_rank or 0)) * self.layers
        if kind.shared_gate and self.experts:
            found += hidden * self.experts.layers
        return found

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
        gated = (3 if self.kind.gated else 2) * self.hidden_size
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
        if self.sliding_layers == 0 or self.sliding_window is None:
            return KvPool(page * self.layers, 0, None)
        if full == 0:
            return KvPool(page * self.layers, 1, self.sliding_window, full_groups=0)
        # Layers of one kind are put into groups of equal size that share a pool of blocks.
        group = min(full, self.sliding_layers)
        groups = -(-self.sliding_layers // group)
        return KvPool(page * group, groups, self.sliding_window, full_groups=-(-full // group))


def _text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The language part of a multimodal model's config.json, with what it leaves to the library's defaults; else the whole."""
    nested = config.get("text_config")
    if not isinstance(nested, Mapping) or not nested:
        return config
    architecture, defaults = NESTED.get(str(nested.get("model_type")), ("", {}))
    return {**defaults, **({"architectures": [architecture]} if architecture else {}), **nested}


def _first(config: Mapping[str, Any], outer: Mapping[str, Any], *keys: str, default: Any = None) -> Any:
    return next((where[key] for where in (config, outer) for key in keys if where.get(key) is not None), default)


def _whole(config: Mapping[str, Any], key: str, where: str, default: int | None = None) -> int:
    value = config.get(key)
    if value is None and key in ALIASES:
        value = config.get(ALIASES[key])
    if value is None and default is not None:
        return default
    if value is None:
        raise FleetError(f"{where}: it has no {key}.", "Hand over the model's whole config.json.", f"{where}.{key}")
    return _bounded(value, key, where, 1)


def _count(config: Mapping[str, Any], key: str, where: str) -> int:
    """A number that may be zero or left out."""
    value = config.get(key)
    return 0 if value is None else _bounded(value, key, where, 0)


def _bounded(value: Any, key: str, where: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**40:
        raise FleetError(
            f"{where}.{key}: {str(value)[:60]!r} is no size of a model.",
            "Hand over the config.json as published.",
            f"{where}.{key}",
        )
    return value


def _sliding(config: Mapping[str, Any], layers: int, kind: Architecture) -> tuple[int | None, int]:
    window = config.get("sliding_window", kind.window)
    if not isinstance(window, int) or isinstance(window, bool) or window <= 0:
        return None, 0
    kinds = config.get("layer_types")
    if isinstance(kinds, list):
        return window, min(layers, sum(1 for it in kinds if it == "sliding_attention"))
    if config.get("use_sliding_window") is False:
        return None, 0
    pattern = config.get("sliding_window_pattern") or kind.sliding_pattern
    if isinstance(pattern, int) and pattern > 1:
        return window, layers - layers // pattern
    if pattern == 1:
        return window, layers
    # One window for every layer where the engine was not seen to use it (Phi-3): planned as full attention.
    return None, 0


_EXPERT_KEYS = ("num_local_experts", "num_experts", "n_routed_experts")


def _has_experts(config: Mapping[str, Any]) -> bool:
    return any(config.get(key) for key in _EXPERT_KEYS)


def _experts(config: Mapping[str, Any], layers: int, where: str) -> Experts:
    key = next(key for key in _EXPERT_KEYS if config.get(key))
    width = _whole(config, "moe_intermediate_size", where, _whole(config, "intermediate_size", where))
    shared = (
        _count(config, "shared_expert_intermediate_size", where) or _count(config, "n_shared_experts", where) * width
    )
    only = config.get("mlp_only_layers")
    first = min(layers, _count(config, "first_k_dense_replace", where))
    step = _whole(config, "decoder_sparse_step", where, _whole(config, "moe_layer_freq", where, 1))
    sparse = (layers - first) // step - (len(only) if isinstance(only, list) else 0)
    return Experts(
        count=_whole(config, key, where),
        per_token=_whole(config, "num_experts_per_tok", where, 2),
        intermediate_size=width,
        shared_intermediate_size=shared,
        layers=max(0, sparse),
    )


def _latent(config: Mapping[str, Any], where: str) -> Latent:
    return Latent(
        kv_rank=_whole(config, "kv_lora_rank", where),
        q_rank=_count(config, "q_lora_rank", where) or None,
        nope_dim=_whole(config, "qk_nope_head_dim", where),
        rope_dim=_whole(config, "qk_rope_head_dim", where),
        value_dim=_whole(config, "v_head_dim", where),
    )


def _vision_parameters(vision: Mapping[str, Any]) -> int:
    """A vision transformer by its sizes (SigLIP, CLIP), with a tenth for patches, positions and the projector."""
    hidden, inner, layers = (
        _count(vision, key, "config.vision_config") for key in ("hidden_size", "intermediate_size", "num_hidden_layers")
    )
    return (4 * hidden * hidden + 2 * hidden * inner) * layers * 11 // 10
