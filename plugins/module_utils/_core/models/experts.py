# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mixtures of experts in config.json: how many experts, how wide, in which layers, under each family's keys.

A key with "expert" or "moe" in its name that is not read here may say anything, so a model with one is never counted as if it had none.
"""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.config import Config

_COUNT = (
    *("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts", "moe_num_primary_experts"),
    "ffn_config.moe_num_experts",
)
_PER_TOKEN = (
    *(
        "num_experts_per_tok",
        "experts_per_token",
        "top_k_experts",
        "moe_topk",
        "moe_k",
        "moe_top_k",
        "num_experts_per_token",
    ),
    *("num_selected_experts", "topk_experts", "ffn_config.moe_top_k"),
)
_WIDTH = ("moe_intermediate_size", "expert_intermediate_size", "moe_ffn_hidden_size", "expert_ffn_hidden_size")
_SHARED_WIDTH = (
    *("shared_expert_intermediate_size", "moe_shared_expert_intermediate_size", "shared_intermediate_size"),
    "share_expert_dim",
)
_SHARED_COUNT = ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts", "num_shared_expert")
# Experts for words and experts for pictures.
_KINDS = 2
_LAYERS = (
    *("first_k_dense_replace", "mlp_only_layers", "decoder_sparse_step", "moe_layer_freq", "interleave_moe_layer_step"),
    *("moe_layers", "moe_layer_start_index", "moe_layer_end_index", "moe_layer_interval", "expert_layer_period"),
    *("expert_layer_offset", "enable_moe_block", "moe_layer_indices", "moe_latent_size", "moe_layers_enum"),
)
# What speaks of experts and not of their size: routing, losses, kernels.
_HARMLESS = (
    *("moe_router_activation_func", "moe_capacity", "moe_gate", "moe_group", "moe_router_topk_scaling_factor"),
    *(
        "num_expert_group",
        "n_expert_groups",
        "num_expert_groups",
        "n_limited_groups",
        "topk_group",
        "moe_multimodal_dispatch",
    ),
    *(
        "moe_layer_recompute",
        "ep_size",
        "num_hash_experts",
        "moe_dropout_prob",
        "n_redundant_experts",
        "moe_world_size",
    ),
    *(
        "moe_router_topk",
        "zero_expert_num",
        "moe_every_n_layers",
        "moe_router_group_topk",
        "moe_renormalize",
        "num_expert_fields",
        "moe_input_jitter_eps",
    ),
)
_READ = frozenset((*_COUNT, *_PER_TOKEN, *_WIDTH, *_SHARED_WIDTH, *_SHARED_COUNT, *_LAYERS, *_HARMLESS))


@dataclass(frozen=True)
class Experts:
    """The mixture-of-experts part: how many experts, how many a token, how wide, in how many layers."""

    count: int
    per_token: int
    intermediate_size: int
    shared_intermediate_size: int
    layers: int
    # Experts work in a smaller space than the hidden one (Nemotron 3); 0 where they don't.
    latent_size: int = 0


def read(config: Config, layers: int) -> Experts | None:
    """The experts that a config.json speaks of; None where it speaks of none."""
    count = config.count(*_COUNT)
    if not count:
        return None
    per_token = config.count(*_PER_TOKEN) or 2
    width = config.count(*_WIDTH) or config.whole("intermediate_size")
    shared = config.count(*_SHARED_WIDTH) or config.count(*_SHARED_COUNT) * width
    if (widths := config.numbers("moe_intermediate_size")) is not None and len(widths) == _KINDS:
        # ERNIE-VL: as many experts again for pictures, of another width.
        width = sum(widths)
    if config.values.get("model_type") == "llama4_text" or config.own("interleave_moe_layer_step") is not None:
        shared = shared or width
    return Experts(count, per_token, width, shared, sum(sparse_layers(config, layers)), config.count("moe_latent_size"))


def sparse_layers(config: Config, layers: int) -> tuple[bool, ...]:
    """Which layers have experts in place of an MLP."""
    if not config.count(*_COUNT) or config.own("enable_moe_block") is False:
        return (False,) * layers
    pattern = config.own("hybrid_override_pattern")
    if isinstance(pattern, str) and pattern:
        return tuple(word == "E" for word in pattern[:layers].ljust(layers))
    if (words := config.words("layers_block_type")) is not None and "moe" in words:
        return tuple(word == "moe" for word in words[:layers])
    if (words := config.words("mlp_layer_types")) is not None:
        return tuple(word == "sparse" for word in (*words, *("dense",) * layers)[:layers])
    if isinstance(enumerated := config.own("moe_layers_enum"), str):
        # Step's: numbers of layers, with commas between them.
        return tuple(str(at) in enumerated.replace(" ", "").split(",") for at in range(layers))
    if (named := config.numbers("moe_layers")) is not None:
        return tuple(at in named for at in range(layers))
    if (flags := config.numbers("moe_layer_freq")) is not None:
        return tuple(bool(flag) for flag in (*flags, *(0,) * layers)[:layers])
    first = max(config.count("first_k_dense_replace", "num_dense_layers"), config.count("moe_layer_start_index"))
    last = config.own("moe_layer_end_index")
    end = last if isinstance(last, int) and not isinstance(last, bool) and 0 <= last < layers else layers - 1
    dense = set(config.numbers("mlp_only_layers") or ())
    if config.own("interleave_moe_layer_step") is not None:
        step = config.whole("interleave_moe_layer_step")
        return tuple((at + 1) % step == 0 for at in range(layers))
    if config.own("expert_layer_period") is not None:
        period = config.whole("expert_layer_period")
        return tuple(at % period == config.count("expert_layer_offset") for at in range(layers))
    if config.own("decoder_sparse_step") is not None:
        step = config.whole("decoder_sparse_step")
        return tuple(at >= first and (at + 1) % step == 0 and at not in dense for at in range(layers))
    if config.own("moe_layer_interval") is not None:
        step = config.whole("moe_layer_interval")
        return tuple(first <= at <= end and (at + 1) % step == 0 and at not in dense for at in range(layers))
    step = config.whole("moe_layer_freq", 1)
    return tuple(first <= at <= end and at % step == 0 and at not in dense for at in range(layers))


def check_all_read(config: Config) -> None:
    """Refuse to count a model with a size of experts under a key that is not known."""
    for key, value in config.values.items():
        name = str(key).lower()
        if ("expert" in name or "moe" in name) and key not in _READ and _is_size(value):
            fail(
                f"{config.where}.{key}",
                "nothing is known of it, so this model's experts can't be counted.",
                "Let model_info read the model's tensors, or set weights_bytes.",
            )


def _is_size(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return any(_is_size(one) for one in value)
    if isinstance(value, dict):
        return any(_is_size(one) for one in value.values())
    return isinstance(value, int) and not isinstance(value, bool) and value > 1
