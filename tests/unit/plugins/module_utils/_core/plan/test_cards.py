# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The card as it is: its names, what others hold of it, what it can compute, and figures for the one that a model lies on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import CATALOGUE, parse_gpus
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB, MIB
from ansible_collections.gpuserve.fleet.plugins.modules.memory_plan import plan as planned

QWEN = {"name": "a", "model": "Qwen/Qwen2.5-7B-Instruct", "max_model_len": 4096}


def plan(models: Any, gpus: Any, preset: str = "aggressive", version: str = "", **more: Any) -> dict[str, Any]:
    asked = {"models": models, "gpus": gpus, "preset": preset, "engine_version": version, "device": "cuda"}
    return planned({**asked, "image": "", "calibration": {}, "proved": {}, **more})


def entry(result: dict[str, Any]) -> dict[str, Any]:
    return dict(next(model for gpu in result["gpus"] for model in gpu["models"]))


def card(uuid: str, gib: float, capability: str = "12.0", **more: Any) -> dict[str, Any]:
    size = int(gib * GIB)
    return {"name": "card", "uuid": uuid, "memory_total_bytes": size, "compute_capability": capability, **more}


@pytest.mark.parametrize(
    ("written", "known"),
    [
        *(
            (name, "NVIDIA GeForce RTX 5090")
            for name in ("5090", "RTX5090", "rtx-5090", "GeForce RTX 5090", "NVIDIA RTX 5090")
        ),
        *((name, "NVIDIA GeForce RTX 5070 Ti") for name in ("5070ti", "RTX 5070 Ti", "rtx_5070_ti")),
        *((name, "NVIDIA RTX 6000 Ada Generation") for name in ("RTX 6000 Ada", "6000 ada")),
        *((name, "NVIDIA H100 80GB HBM3") for name in ("H100", "h100 80GB")),
        *((name, "Tesla T4") for name in ("T4", "NVIDIA Tesla T4")),
        *((name, "NVIDIA GB10") for name in ("gb10", "NVIDIA GB10")),
        ("A6000", "NVIDIA RTX A6000"),
        ("RTX PRO 5000", "NVIDIA RTX PRO 5000 Blackwell"),
    ],
)
def test_cards_are_known_by_the_names_that_people_write(written: str, known: str) -> None:
    assert parse_gpus([{"name": written}])[0].name == known


def test_a_name_of_several_cards_is_none() -> None:
    # There is an A100 with 40 GB and one with 80.
    with pytest.raises(FleetError, match="the catalogue has no card 'A100'"):
        parse_gpus([{"name": "A100"}])
    assert all(facts.source for facts in CATALOGUE.values())


@pytest.mark.parametrize(
    ("free", "processes", "foreign"),
    [
        (32 * GIB, None, 0),
        (32 * GIB - 127 * MIB, None, 0),
        (32 * GIB - 128 * MIB, None, 128 * MIB),
        (32 * GIB - 129 * MIB, None, 256 * MIB),
        # Ours is in a container, the desktop is not.
        (20 * GIB, [{"used_bytes": 10 * GIB, "container": "c1"}, {"used_bytes": 2 * GIB, "container": None}], 2 * GIB),
        (20 * GIB, [{"used_bytes": None, "container": "c1"}], 0),
    ],
)
def test_what_no_container_holds_is_others(free: int, processes: Any, foreign: int) -> None:
    gpu = parse_gpus([card("u", 32, memory_free_bytes=free, processes=processes)])[0]
    assert gpu.foreign_bytes == foreign
    assert gpu.left_bytes == 32 * GIB - foreign


def test_what_others_hold_and_what_is_reserved_is_not_planned_away() -> None:
    alone = plan([QWEN], [card("u", 32)])["gpus"][0]
    desktop = plan([QWEN], [card("u", 32, memory_free_bytes=24 * GIB)])["gpus"][0]
    reserved = plan([QWEN], [card("u", 32)], reserved="8GiB")["gpus"][0]
    assert alone["budget_bytes"] == int(32 * GIB * 0.96)
    assert desktop["budget_bytes"] == reserved["budget_bytes"] == 24 * GIB
    assert desktop["used_bytes"] <= 24 * GIB
    assert desktop["foreign_bytes"] == 8 * GIB
    tight = plan([QWEN], [card("u", 32, memory_free_bytes=12 * GIB)])
    assert not tight["feasible"]
    assert "20.00 GiB of it are used by others now" in tight["reasons"][0]


def test_a_share_is_of_the_card_that_the_model_lies_on() -> None:
    pinned = {**QWEN, "gpu_memory_utilization": 0.9}
    small, large = card("small", 20), card("large", 40)
    first, second = (
        entry(plan([{**pinned, "gpus": [uuid]}], [small, large]))["kv_cache_bytes"] for uuid in ("small", "large")
    )
    assert second - first == pytest.approx(0.9 * 20 * GIB, abs=16 * MIB)
    # Left open, it goes to where it fits, with that card's figures.
    found = plan([{**pinned, "gpu_memory_utilization": 0.8}], [card("tiny", 10), large], preset="auto")
    assert entry(found)["gpu_uuids"] == ["large"]
    assert entry(found)["kv_cache_bytes"] == pytest.approx(0.8 * 40 * GIB - 14.4 * GIB, abs=GIB)


def test_a_workspace_is_of_the_card_that_the_model_lies_on() -> None:
    model = {**QWEN, "kv_cache_dtype": "fp8"}
    cards = [card("hopper", 40, "9.0"), card("blackwell", 40, "12.0")]
    hopper, blackwell = (
        sum(
            part["bytes"]
            for part in entry(plan([{**model, "gpus": [uuid]}], cards))["parts"]
            if part["name"] != "kv_cache"
        )
        for uuid in ("hopper", "blackwell")
    )
    assert blackwell - hopper == 394 * MIB


@pytest.mark.parametrize(
    ("model", "capability", "version", "field"),
    [
        ({"dtype": "bfloat16"}, "7.5", "", "vllm_stack_models[0].dtype"),
        ({}, "12.0", "0.9.2", "vllm_stack_engine_image"),
        ({}, "6.1", "", "vllm_stack_gpus"),
        ({"quantization": "experts_int8"}, "7.5", "", "vllm_stack_models[0].quantization"),
    ],
)
def test_what_a_card_can_not_compute_is_refused_before_anything_is_pulled(
    model: dict[str, Any], capability: str, version: str, field: str
) -> None:
    with pytest.raises(FleetError) as caught:
        plan([{**QWEN, **model}], [card("u", 40, capability)], version=version)
    assert caught.value.where == field
    assert caught.value.remedy


def test_the_same_is_taken_where_the_card_can() -> None:
    for model, capability, version in (
        ({"dtype": "half"}, "7.5", ""),
        ({"dtype": "bfloat16"}, "8.0", ""),
        ({}, "12.0", "0.10.2"),
    ):
        assert plan([{**QWEN, **model}], [card("u", 40, capability)], version=version)["feasible"]


@pytest.mark.parametrize(("written", "length"), [("4k", 4000), ("4K", 4096), ("1.5k", 1500), ("4096", 4096)])
def test_lengths_are_read_as_the_engine_reads_them(written: str, length: int) -> None:
    assert entry(plan([{**QWEN, "max_model_len": written}], [card("u", 40)]))["max_model_len"] == length


def test_auto_is_the_longest_that_fits() -> None:
    roomy = entry(plan([{**QWEN, "max_model_len": "auto", "max_num_seqs": 1}], [card("u", 40)]))
    assert roomy["max_model_len"] == 32768
    tight = entry(plan([{**QWEN, "max_model_len": "auto", "max_num_seqs": 1}], [card("u", 17)]))
    assert 256 <= tight["max_model_len"] < 32768
    assert any("the most that fits" in note for note in tight["notes"])
    longer = {**QWEN, "max_model_len": tight["max_model_len"] + 256, "max_num_seqs": 1}
    assert not plan([longer], [card("u", 17)])["feasible"]


STATES = {
    **{"architectures": ["Qwen3NextForCausalLM"], "model_type": "qwen3_next", "num_experts": 0},
    **{"hidden_size": 2048, "intermediate_size": 5120, "num_hidden_layers": 8, "num_attention_heads": 16},
    **{"num_key_value_heads": 2, "head_dim": 256, "vocab_size": 32000, "max_position_embeddings": 32768},
    **{"torch_dtype": "bfloat16", "full_attention_interval": 4},
}


AHEAD = ["--speculative-config", '{"method": "mtp", "num_speculative_tokens": 1}']


def test_layers_ahead_are_counted_where_there_are_some_and_refused_where_none_is_known() -> None:
    model = {"name": "a", "model": "o/m", "max_model_len": 2048, "max_num_seqs": 4}
    found = {
        (count, bool(more)): entry(
            plan(
                [{**model, "config": {**STATES, "num_nextn_predict_layers": count}, "extra_args": more}],
                [card("u", 40)],
            )
        )
        for count in (1, 2)
        for more in ([], AHEAD)
    }
    weights = {key: part(one, "weights") for key, one in found.items()}
    assert weights[1, False] == weights[2, False] < weights[1, True] < weights[2, True]
    # Its config.json is silent, and it has one.
    silent = {**model, "config": STATES, "extra_args": AHEAD}
    assert part(entry(plan([silent], [card("u", 40)])), "weights") == weights[1, True]
    with pytest.raises(
        FleetError, match=r"layers that predict ahead, and Qwen/\S+ has none that is known\. Take method ngram"
    ):
        args(*AHEAD)
    whole = args(*AHEAD, weights_bytes="16GiB")
    assert part(whole, "weights") == 16 * GIB


def test_states_bound_the_sequences_and_the_plan_says_so() -> None:
    model = {"name": "a", "model": "o/m", "config": STATES, "max_model_len": 2048, "max_num_seqs": 512}
    found = entry(plan([{**model, "kv_cache_memory_bytes": "512MiB"}], [card("u", 40)]))
    assert found["max_num_seqs"] < 512
    assert ["--max-num-seqs", str(found["max_num_seqs"])] == found["engine_args"][2:4]
    assert any(f"states of {found['max_num_seqs']} sequences fit" in note for note in found["notes"])
    # Without cached prefixes a sequence holds one state, and more of them fit.
    more = entry(
        plan(
            [{**model, "kv_cache_memory_bytes": "512MiB", "extra_args": ["--no-enable-prefix-caching"]}],
            [card("u", 40)],
        )
    )
    assert more["max_num_seqs"] > found["max_num_seqs"]


def args(*extra: str, **more: Any) -> dict[str, Any]:
    return entry(plan([{**QWEN, "extra_args": list(extra), **more}], [card("u", 40)]))


def part(found: dict[str, Any], name: str) -> int:
    return int(sum(each["bytes"] for each in found["parts"] if each["name"] == name))


def test_flags_that_change_memory_are_counted() -> None:
    plain = args()
    assert part(plain, "weights") - part(args("--cpu-offload-gb", "2"), "weights") == 2 * GIB
    assert part(args("--cudagraph-capture-sizes", "1", "2"), "cuda_graphs") < part(plain, "cuda_graphs")
    assert part(args("--max-cudagraph-capture-size=8"), "cuda_graphs") < part(plain, "cuda_graphs")
    assert part(args("-cc", '{"cudagraph_mode": "NONE"}'), "cuda_graphs") == 0
    ngram = args("--speculative-config", '{"method": "ngram", "num_speculative_tokens": 4}')
    assert part(ngram, "weights") == part(plain, "weights")
    # Batches of guesses are captured too: every sequence with its four.
    assert "36 captured graphs" in next(one["reason"] for one in ngram["parts"] if one["name"] == "cuda_graphs")
    assert any("sleep mode" in note for note in args("--enable-sleep-mode")["notes"])
    longer = {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}}
    with pytest.raises(FleetError, match="131072 is more than"):
        args(max_model_len=131072)
    assert args("--hf-overrides", json.dumps(longer), max_model_len=131072, max_num_seqs=1)["max_model_len"] == 131072


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--gpu-memory-utilization 0.9"], "set gpu_memory_utilization instead"),
        (["--seed 7"], "Write --seed and its value as two elements"),
        (["--enable-reasoning"], "--reasoning-parser alone"),
        (["--rope_scaling", "{}"], "--hf-overrides"),
        (["-dcp", "2"], "--decode-context-parallel-size changes the engine's memory"),
        (["--mamba-cache-mode=all"], "--mamba-cache-mode changes the engine's memory"),
        (["--runner", "pooling"], "Set task instead"),
        (["--hf-overrides", "no"], "no JSON mapping"),
        (["--cpu-offload-gb", "much"], "is no number"),
        (["--speculative-config", '{"method": "eagle3"}'], "names no model to plan"),
        (["--speculative-config", '{"method": "eagle3", "model": "o/draft"}'], "set weights_bytes to what both take"),
    ],
)
def test_flags_that_can_not_be_are_refused(extra: list[str], message: str) -> None:
    with pytest.raises(FleetError) as caught:
        args(*extra)
    assert message in str(caught.value)


def test_an_encoder_on_the_cpu_is_given_a_cache_so_that_it_starts() -> None:
    cpu = {"name": "CPU (host memory)", "uuid": "cpu", "memory_total_bytes": 16 * GIB, "memory_free_bytes": 8 * GIB}
    found = entry(plan([{"name": "b", "model": "BAAI/bge-small-en-v1.5"}], [cpu]))
    assert found["task"] == "embed"
    assert "--kv-cache-memory-bytes" in found["engine_args"]
    assert "--gpu-memory-utilization" not in found["engine_args"]
