# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Experts under the keys of each family, and in which layers they are."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import experts
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.config import Config
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.experts import Experts


def config(**values: Any) -> Config:
    every = {"intermediate_size": 96, **values}
    return Config(every, every)


@pytest.mark.parametrize(
    "key",
    # Mixtral and gpt-oss, Qwen, DeepSeek, ERNIE, and MiniCPM's, in this order.
    ["num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts", "moe_num_primary_experts"],
)
def test_how_many_experts(key: str) -> None:
    assert experts.read(config(**{key: 8}), 4) == Experts(8, 2, 96, 0, 4)
    assert experts.read(config(**{key: 0}), 4) is None
    experts.check_all_read(config(**{key: 8}))


@pytest.mark.parametrize(
    "key",
    [
        *("num_experts_per_tok", "experts_per_token", "top_k_experts", "moe_topk", "moe_k", "moe_top_k"),
        *("num_experts_per_token", "num_selected_experts", "topk_experts"),
    ],
)
def test_how_many_a_token(key: str) -> None:
    found = experts.read(config(num_experts=8, **{key: 5}), 4)
    assert found is not None and found.per_token == 5
    experts.check_all_read(config(num_experts=8, **{key: 5}))


@pytest.mark.parametrize(
    "key", ["moe_intermediate_size", "expert_intermediate_size", "moe_ffn_hidden_size", "expert_ffn_hidden_size"]
)
def test_how_wide(key: str) -> None:
    found = experts.read(config(num_experts=8, n_shared_experts=3, **{key: 48}), 4)
    assert found == Experts(8, 2, 48, 3 * 48, 4)
    experts.check_all_read(config(num_experts=8, **{key: 48}))


@pytest.mark.parametrize(
    "key",
    ["shared_expert_intermediate_size", "moe_shared_expert_intermediate_size", "shared_intermediate_size"],
)
def test_how_wide_the_shared_one_is(key: str) -> None:
    found = experts.read(config(num_experts=8, n_shared_experts=3, **{key: 40}), 4)
    assert found is not None and found.shared_intermediate_size == 40
    experts.check_all_read(config(num_experts=8, **{key: 40}))


@pytest.mark.parametrize(
    "key", ["n_shared_experts", "num_shared_experts", "moe_num_shared_experts", "num_shared_expert"]
)
def test_how_many_are_shared(key: str) -> None:
    found = experts.read(config(num_experts=8, **{key: [2, 2]}), 4)
    assert found is not None and found.shared_intermediate_size == 2 * 96
    experts.check_all_read(config(num_experts=8, **{key: 2}))


def test_experts_of_two_kinds_and_in_a_smaller_space() -> None:
    both = experts.read(config(num_experts=8, moe_intermediate_size=[48, 16]), 4)
    assert both is not None and both.intermediate_size == 64
    # A width for each layer is no kind.
    layered = experts.read(config(num_experts=8, moe_intermediate_size=[48, 16, 32]), 3)
    assert layered is not None and layered.intermediate_size == 48
    small = experts.read(config(num_experts=8, moe_latent_size=24), 4)
    assert small is not None and small.latent_size == 24
    # Llama 4 shares one as wide as the others.
    for more in ({"model_type": "llama4_text"}, {"interleave_moe_layer_step": 1}):
        shared = experts.read(config(num_experts=8, **more), 4)
        assert shared is not None and shared.shared_intermediate_size == 96


@pytest.mark.parametrize(
    ("values", "sparse"),
    [
        ({}, "EEEEEE"),
        ({"num_experts": 0}, "------"),
        ({"enable_moe_block": False}, "------"),
        ({"enable_moe_block": True}, "EEEEEE"),
        ({"hybrid_override_pattern": "ME*E"}, "-E-E--"),
        ({"layers_block_type": ["mamba", "moe", "attention", "moe", "moe", "mamba"]}, "-E-EE-"),
        ({"layers_block_type": ["mamba"] * 6}, "EEEEEE"),
        ({"mlp_layer_types": ["dense", "sparse", "sparse"]}, "-EE---"),
        ({"moe_layers": [1, 5]}, "-E---E"),
        ({"moe_layer_freq": [0, 1, 1]}, "-EE---"),
        ({"moe_layer_freq": 2}, "E-E-E-"),
        ({"first_k_dense_replace": 2}, "--EEEE"),
        ({"num_dense_layers": 3}, "---EEE"),
        ({"first_k_dense_replace": 1, "moe_layer_start_index": 4}, "----EE"),
        ({"moe_layer_start_index": 1, "moe_layer_end_index": 4, "moe_layer_interval": 2}, "-E-E--"),
        ({"moe_layer_interval": 3}, "--E--E"),
        ({"moe_layer_interval": 1, "mlp_only_layers": [0]}, "-EEEEE"),
        ({"moe_layer_end_index": 0}, "E-----"),
        ({"moe_layer_end_index": -1}, "EEEEEE"),
        ({"moe_layer_end_index": 6}, "EEEEEE"),
        ({"moe_layer_end_index": True}, "EEEEEE"),
        ({"mlp_only_layers": [0, 2]}, "-E-EEE"),
        ({"interleave_moe_layer_step": 2}, "-E-E-E"),
        ({"expert_layer_period": 3, "expert_layer_offset": 1}, "-E--E-"),
        ({"expert_layer_period": 3}, "E--E--"),
        ({"decoder_sparse_step": 2, "mlp_only_layers": [1]}, "---E-E"),
        ({"decoder_sparse_step": 1, "first_k_dense_replace": 2}, "--EEEE"),
    ],
)
def test_layers_with_experts(values: dict[str, Any], sparse: str) -> None:
    found = experts.sparse_layers(config(**{"num_experts": 8, **values}), 6)
    assert "".join("E" if one else "-" for one in found) == sparse
    read = experts.read(config(**{"num_experts": 8, **values}), 6)
    assert (read.layers if read else 0) == sparse.count("E")


@pytest.mark.parametrize(
    "key",
    [
        # Which layers.
        *("first_k_dense_replace", "mlp_only_layers", "decoder_sparse_step", "moe_layer_freq", "moe_layers"),
        *("interleave_moe_layer_step", "moe_layer_start_index", "moe_layer_end_index", "moe_layer_interval"),
        *("expert_layer_period", "expert_layer_offset", "enable_moe_block", "moe_layer_indices", "moe_latent_size"),
        # Routing, losses and kernels.
        *("moe_router_activation_func", "moe_capacity", "moe_gate", "moe_group", "moe_router_topk_scaling_factor"),
        *("num_expert_group", "n_expert_groups", "num_expert_groups", "n_limited_groups", "topk_group"),
        *("moe_multimodal_dispatch", "moe_layer_recompute", "ep_size", "num_hash_experts", "moe_dropout_prob"),
        *("n_redundant_experts", "moe_world_size", "moe_router_topk", "moe_every_n_layers", "moe_router_group_topk"),
        *("moe_renormalize", "num_expert_fields", "moe_input_jitter_eps"),
    ],
)
def test_what_does_not_make_experts_larger_is_let_through(key: str) -> None:
    experts.check_all_read(config(**{key: 8}))


@pytest.mark.parametrize("value", [8, 2, [0, 2], {"a": 2}, {"a": [1, 2]}])
@pytest.mark.parametrize("key", ["tail_expert_size", "Tail_MoE_size"])
def test_a_size_of_experts_that_nobody_reads_is_refused(key: str, value: Any) -> None:
    with pytest.raises(FleetError, match=rf"config\.{key}: nothing is known of it, so this model's experts"):
        experts.check_all_read(config(**{key: value}))


@pytest.mark.parametrize("value", [0, 1, True, "8", 8.5, None, [0, 1], {"a": 1}, {}])
def test_what_is_no_size_is_let_through(value: Any) -> None:
    experts.check_all_read(config(tail_expert_size=value, tail_size=9))
