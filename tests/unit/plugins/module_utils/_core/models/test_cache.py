# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Blocks, states and lengths by numbers, each as vLLM counts them."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import lengths, states
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.architectures import LLAMA
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.config import Config
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.info import ModelInfo
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.kv_pool import (
    CacheSpec,
    Group,
    Kind,
    KvPool,
    build,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.layers import Mixer
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape


@pytest.mark.parametrize(
    ("kind", "span", "length", "batched", "blocks"),
    [
        # v1/kv_cache_interface.py: max_memory_usage_bytes of each kind of cache.
        *((Kind.FULL, 0, length, 64, blocks) for length, blocks in ((1, 1), (16, 1), (17, 2), (160, 10))),
        # What a window sees before the first of two batches in flight, and one block more.
        (Kind.SLIDING, 33, 10**6, 32, (32 + 2 * 32) // 16 + 1),
        (Kind.SLIDING, 34, 10**6, 32, 7 + 1),
        (Kind.SLIDING, 33, 20, 32, 2 + 1),
        (Kind.CHUNKED, 64, 10**6, 32, (64 + 32) // 16),
        (Kind.CHUNKED, 65, 10**6, 32, 7),
        (Kind.CHUNKED, 64, 20, 32, 2),
        (Kind.CROSS, 1500, 20, 32, 94),
        (Kind.CROSS, 1504, 20, 32, 94),
        # An encoder may be sent a batch at once: seen of Whisper.
        (Kind.CROSS, 1500, 448, 2048, 128),
        (Kind.STATE, 0, 10**6, 32, 3),
    ],
)
def test_blocks_of_a_request(kind: Kind, span: int, length: int, batched: int, blocks: int) -> None:
    assert Group(kind, 16, span).blocks(length, batched, states=3) == blocks


def test_a_pool_counts_requests_tokens_and_sequences() -> None:
    full = KvPool(1000, (Group(Kind.FULL, 16),))
    assert full.blocks_per_request(33, 8) == 3 and full.block_tokens == 16 and not full.has_states
    assert full.concurrency(7999, 33, 8) == 7 / 3 and full.tokens(7999, 33, 8) == 7 * 16 and full.sequences(7999) == 7
    both = KvPool(1000, (Group(Kind.STATE, 1), Group(Kind.FULL, 32)), states=2)
    assert both.has_states and both.block_tokens == 32 and both.blocks_per_request(33, 8) == 2 + 2
    # A state of two blocks and one of attention for each sequence; tokens by how many requests fit.
    assert both.sequences(8999) == 8 // 3 and both.tokens(9000, 33, 8) == int(9 / 4 * 33)
    assert KvPool(1000, (Group(Kind.SLIDING, 16, 64),)).tokens(9000, 16, 8) == int(9 / 2 * 16)
    assert KvPool(1000, (Group(Kind.STATE, 1),)).block_tokens == 16 and KvPool(1, ()).sequences(5) == 5


def test_layers_of_one_kind_share_a_table() -> None:
    for kind, span in ((Kind.FULL, 0), (Kind.SLIDING, 64), (Kind.CHUNKED, 64)):
        wide, narrow = CacheSpec(kind, 200, span), CacheSpec(kind, 100, span)
        assert build({wide: 2, narrow: 3}) == KvPool((2 * 200 + 3 * 100) * 16, (Group(kind, 16, span),))
    other = build({CacheSpec(Kind.SLIDING, 100, 64): 2, CacheSpec(Kind.SLIDING, 100, 32): 2})
    assert [group.span for group in other.groups] == [64, 32] and other.block_bytes == 2 * 16 * 100
    assert build({CacheSpec(Kind.STATE, 100): 3}, states=2) == KvPool(300, (Group(Kind.STATE, 1),), 2)
    assert build({CacheSpec(Kind.FULL, 0): 3}).states == 1


def test_groups_are_as_large_as_the_smallest_but_where_all_are_nearly_alike() -> None:
    def groups(full: int, sliding: int) -> tuple[int, int]:
        pool = build({CacheSpec(Kind.FULL, 100): full, CacheSpec(Kind.SLIDING, 100, 64): sliding})
        return len(pool.groups), pool.block_bytes // 1600

    # 1.5 times as many are split, fewer are padded.
    assert (groups(2, 3), groups(3, 4), groups(1, 5), groups(4, 8)) == ((3, 2), (2, 4), (6, 1), (3, 4))


def test_a_page_holds_the_widest_layer_and_the_largest_state() -> None:
    pool = build({CacheSpec(Kind.FULL, 100): 1, CacheSpec(Kind.SLIDING, 50, 64): 1, CacheSpec(Kind.STATE, 4801): 1})
    # 49 tokens hold the state: four blocks of 16; of the narrow layer twice as many fit.
    assert pool.block_bytes == 64 * 100
    assert [group.block_tokens for group in pool.groups] == [64, 128, 1]
    # A state that is larger than any page pads it.
    lone = build({CacheSpec(Kind.STATE, 5000): 1, CacheSpec(Kind.STATE, 4000): 1})
    assert (lone.block_bytes, len(lone.groups)) == (5000, 2)


def config(**values: Any) -> Config:
    sizes = {"hidden_size": 64, "num_attention_heads": 4, **values}
    return Config(sizes, sizes)


# vLLM, model_executor/layers/mamba/mamba_utils.py: MambaStateShapeCalculator, one rank.
DELTA = {
    **{"linear_num_key_heads": 2, "linear_key_head_dim": 8, "linear_num_value_heads": 6, "linear_value_head_dim": 16},
    "linear_conv_kernel_dim": 5,
}
KDA = {"linear_num_heads": 3, "linear_head_dim": 8, "linear_conv_kernel_dim": 5}
MAMBA2 = {
    **{"mamba_n_heads": 3, "mamba_d_head": 16, "mamba_n_groups": 2, "mamba_d_state": 10, "mamba_d_conv": 5},
}


@pytest.mark.parametrize(
    ("mixer", "values", "convolved", "recurrent"),
    [
        (Mixer.DELTA, DELTA, (2 * 2 * 8 + 6 * 16) * (5 - 1), 6 * 16 * 8),
        (Mixer.KDA, KDA, 3 * (3 * 8) * (5 - 1), 3 * 8 * 8),
        (Mixer.LIGHTNING, {"head_dim": 8}, 0, 4 * 8 * 8),
        (Mixer.LIGHTNING, {}, 0, 4 * 16 * 16),
        (Mixer.MAMBA1, {"mamba_expand": 3, "mamba_d_state": 10, "mamba_d_conv": 5}, 192 * (5 - 1), 192 * 10),
        (Mixer.MAMBA1, {"expand": 3, "state_size": 10, "conv_kernel": 5}, 192 * (5 - 1), 192 * 10),
        (
            Mixer.MAMBA1,
            {"intermediate_size": 100, "time_step_rank": 4, "state_size": 10, "conv_kernel": 5},
            100 * (5 - 1),
            100 * 10,
        ),
        (Mixer.MAMBA2, MAMBA2, (3 * 16 + 2 * 2 * 10) * (5 - 1), 3 * 16 * 10),
        (
            Mixer.MAMBA2,
            {"mamba_num_heads": 3, "mamba_head_dim": 16, "n_groups": 2, "ssm_state_size": 10, "conv_kernel": 5},
            (3 * 16 + 2 * 2 * 10) * (5 - 1),
            3 * 16 * 10,
        ),
        (
            # Zamba 2's heads share what there is.
            Mixer.MAMBA2,
            {"n_mamba_heads": 8, "mamba_expand": 2, "mamba_ngroups": 2, "mamba_d_state": 10, "mamba_d_conv": 5},
            (128 + 2 * 2 * 10) * (5 - 1),
            128 * 10,
        ),
        (
            Mixer.MAMBA2,
            {"num_heads": 3, "head_dim": 16, "n_groups": 2, "state_size": 10, "conv_kernel": 5},
            (3 * 16 + 2 * 2 * 10) * (5 - 1),
            3 * 16 * 10,
        ),
        (Mixer.CONV, {"conv_L_cache": 4}, 64 * 3, 0),
        (Mixer.FULL, {}, 0, 0),
        (Mixer.LATENT, {}, 0, 0),
    ],
)
def test_a_state_is_as_large_as_the_engine_makes_it(
    mixer: Mixer, values: dict[str, Any], convolved: int, recurrent: int
) -> None:
    assert states.state_elements(config(**values), mixer, LLAMA) == (convolved, recurrent)


@pytest.mark.parametrize(
    ("mixer", "values", "units"),
    [
        # docs/memory-model.md: what goes in twice, what is convolved and what comes of it, chunks of the scan, the MLP beside.
        (Mixer.MAMBA2, MAMBA2, 2 * 64 + 7 * 48 + 3 * 100 // 2 + 4 * 2 * 10 + 3),
        (Mixer.DELTA, DELTA, 2 * 64 + 4 * 16 + 9 * 96),
        (Mixer.MAMBA1, {"expand": 3, "state_size": 10, "conv_kernel": 5}, 2 * 64 + 7 * 192 + 3 * 100 // 2),
        (Mixer.KDA, KDA, 2 * 64 + 38 * 3 * 8),
        (Mixer.LIGHTNING, {}, 4 * 2 * 64),
        (Mixer.CONV, {}, 4 * 2 * 64),
        (Mixer.FULL, {}, 0),
    ],
)
def test_elements_alive_while_states_are_computed(mixer: Mixer, values: dict[str, Any], units: int) -> None:
    assert states.state_units(config(**values), [mixer, Mixer.FULL], 100) == units
    if units > 4 * 2 * 64:
        assert states.state_units(config(**values), [mixer, Mixer.CONV], 100) == units


def shape(**values: Any) -> ModelShape:
    sizes = {
        **{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "num_attention_heads": 4},
        **{"num_hidden_layers": 2, "intermediate_size": 96, "vocab_size": 100, "max_position_embeddings": 4096},
    }
    return ModelShape.from_config({**sizes, **values})


LONGROPE = {"rope_type": "longrope", "factor": 32.0}


@pytest.mark.parametrize(
    ("values", "most", "default"),
    [
        # vLLM, config/model.py: _get_and_verify_max_len.
        ({}, 4096, 4096),
        ({"rope_scaling": {"rope_type": "linear", "factor": 4.0}}, 16384, 16384),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.5}}, 10240, 10240),
        ({"rope_scaling": {"rope_type": "linear"}}, 4096, 4096),
        ({"rope_scaling": {"rope_type": "linear", "factor": True}}, 4096, 4096),
        ({"rope_scaling": {"rope_type": "linear", "factor": 2**16}}, 4096, 4096),
        *(
            ({"rope_scaling": {"rope_type": kind, "factor": 4.0}}, 4096, 4096)
            for kind in ("su", "llama3", "default", "mrope")
        ),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 2048}}, 8192, 8192),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, 16384, 16384),
        (
            {
                "rope_parameters": {
                    "full_attention": {"rope_type": "linear", "factor": 2.0},
                    "x": {"rope_type": "default"},
                }
            },
            8192,
            8192,
        ),
        ({"rope_scaling": LONGROPE, "original_max_position_embeddings": 1024}, 4096, 1024),
        ({"rope_scaling": LONGROPE}, 4096, 4096),
        *(({key: 512}, 512, 512) for key in ("max_seq_len", "seq_length", "n_positions", "max_target_positions")),
        *(({key: 512}, 512, 512) for key in ("max_sequence_length", "max_seq_length", "seq_len")),
        # A written model_max_length is taken, and where it is larger too.
        ({"model_max_length": 8192}, 8192, 8192),
        ({"model_max_length": 512}, 512, 512),
        ({"model_type": "other", "max_position_embeddings": None}, 2048, 2048),
        ({"model_type": "gemma3_text", "rope_scaling": {"rope_type": "linear", "factor": 8.0}}, 4096, 4096),
    ],
)
def test_the_longest_request_is_derived_as_the_engine_derives_it(
    values: dict[str, Any], most: int, default: int
) -> None:
    assert (shape(**values).length.most, shape(**values).length.default) == (most, default)


@pytest.mark.parametrize(
    ("values", "small_files", "most", "key"),
    [
        ({}, {}, 4096, "max_position_embeddings"),
        ({}, {"tokenizer_config": {"model_max_length": 512}}, 512, "tokenizer_config.json"),
        ({}, {"tokenizer_config": {"model_max_length": 4096}}, 4096, "max_position_embeddings"),
        ({}, {"tokenizer_config": {"model_max_length": 10**30}}, 4096, "max_position_embeddings"),
        # Two places stand before the first word of RoBERTa's.
        *(
            ({"model_type": kind}, {}, 4094, "max_position_embeddings")
            for kind in ("roberta", "xlm-roberta", "camembert", "xlm-roberta-xl")
        ),
        ({"model_type": "roberta"}, {"tokenizer_config": {"model_max_length": 512}}, 512, "tokenizer_config.json"),
        ({}, {"sentence_bert_config": {"max_seq_length": 128}}, 128, "sentence_bert_config.json"),
        (
            {"position_embedding_type": None},
            {"tokenizer_config": {"model_max_length": 512}},
            4096,
            "max_position_embeddings",
        ),
    ],
)
def test_a_pooling_model_is_as_long_as_its_small_files_say(
    values: dict[str, Any], small_files: dict[str, Any], most: int, key: str
) -> None:
    sizes = {"position_embedding_type": "absolute", "max_position_embeddings": 4096, "model_type": "bert", **values}
    found = lengths.derive(Config(sizes, sizes), ModelInfo({}, **small_files), pools=True)
    assert found == lengths.Length(most, most, key)
    # One that makes tokens is not held to its tokenizer's.
    if "sentence_bert_config" not in small_files:
        assert lengths.derive(Config(sizes, sizes), ModelInfo({}, **small_files), pools=False).most == 4096


def test_a_length_has_its_key() -> None:
    assert shape(rope_scaling={"rope_type": "linear", "factor": 4.0}).length.key == "rope_scaling"
    assert shape(model_max_length=9).length.key == "model_max_length"
    assert shape(model_type="x", max_position_embeddings=None).length.key == "nothing in its config.json"
