# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plan decides where the user left it open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine import vllm
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import parse_gpus
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.catalogue import CONFIGS
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.calibration import Calibration
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.tradeoffs import choose
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import parse_models
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB


def models(entries: Sequence[dict[str, Any]], gpus: Sequence[dict[str, Any]], preset: str = "auto") -> dict[str, Any]:
    specs = parse_models(entries)
    shapes = [ModelShape.from_config(CONFIGS[spec.model], spec.dtype, spec.quantization) for spec in specs]
    result = choose(specs, shapes, parse_gpus(gpus), preset, vllm.profile("0.33.0"), Calibration())
    assert result["feasible"], result["reasons"]
    return {model["name"]: model for gpu in result["gpus"] for model in gpu["models"]}


def card(size_gib: float, index: int = 0, capability: str = "12.0") -> dict[str, Any]:
    size = int(size_gib * GIB)
    return {
        "name": "card",
        "uuid": f"u{index}",
        "index": index,
        "memory_total_bytes": size,
        "compute_capability": capability,
    }


LLAMA = {"name": "llama", "model": "meta-llama/Llama-3.1-8B-Instruct", "max_model_len": 8192}


def reason(entry: dict[str, Any], size_gib: float, preset: str = "balanced", **gpu: Any) -> str:
    """Return why one model does not fit a card."""
    specs, gpus = parse_models([entry]), parse_gpus([{**card(size_gib), **gpu}])
    shapes = [ModelShape.from_config(CONFIGS[spec.model], spec.dtype, spec.quantization) for spec in specs]
    return " ".join(choose(specs, shapes, gpus, preset, vllm.profile("0.33.0"), Calibration())["reasons"])


LARGER = "vllm_stack_preset: aggressive"
SHORTER = "max_model_len of llama to 7936"
SMALLER = "kv_cache_dtype of llama to fp8"


@pytest.mark.parametrize(
    ("size_gib", "preset", "more", "settings"),
    [
        # A larger share of the card is enough, and so are a shorter length and a smaller cache in this one.
        (20.2, "balanced", {}, [LARGER, SHORTER, SMALLER]),
        # Before compute capability 8.9 there is no fp8 cache.
        (20.2, "balanced", {"compute_capability": "8.6"}, [LARGER, SHORTER]),
        # No share is enough, but preset auto has other trades.
        (17.62, "balanced", {}, ["vllm_stack_preset: auto"]),
        (15.0, "balanced", {}, []),
        (15.0, "auto", {}, []),
    ],
)
def test_a_reason_ends_in_all_that_fits(
    size_gib: float, preset: str, more: dict[str, Any], settings: list[str]
) -> None:
    ending = f" Set {' or '.join(settings)}, where they fit." if settings else " or a larger card."
    assert reason(LLAMA, size_gib, preset, **more).endswith(ending)


def test_auto_takes_more_sequences_where_there_is_room_and_says_so() -> None:
    found = models([{"name": "small", "model": "Qwen/Qwen2.5-0.5B-Instruct", "max_model_len": 2048}], [card(32)])[
        "small"
    ]
    assert found["max_num_seqs"] == 256
    assert any("there is room" in note for note in found["notes"])


def test_auto_keeps_what_is_pinned() -> None:
    found = models([{**LLAMA, "max_num_seqs": 8, "kv_cache_dtype": "auto"}], [card(32)])["llama"]
    assert found["max_num_seqs"] == 8


def test_auto_trades_in_order_until_it_fits() -> None:
    sizes = {gib: models([{**LLAMA, "max_num_batched_tokens": 2048}], [card(gib)])["llama"] for gib in (19.0, 17.62)}
    assert not sizes[19.0]["enforce_eager"]
    tight = sizes[17.62]
    assert tight["kv_cache_dtype"] == "fp8"
    assert any("nothing fits without it" in note for note in tight["notes"])


def test_no_fp8_cache_where_the_card_has_none() -> None:
    found = models([{**LLAMA, "max_num_batched_tokens": 2048}], [card(17.6, capability="8.6")])["llama"]
    assert found["kv_cache_dtype"] == "auto"
    assert found["max_num_seqs"] < 16 or found["enforce_eager"]


def test_a_model_too_large_for_one_card_is_spread_over_as_few_as_hold_it() -> None:
    cards = [card(12, index) for index in range(4)]
    found = models([{**LLAMA, "max_model_len": 2048}], cards, "aggressive")["llama"]
    assert found["tensor_parallel_size"] == 2
    assert len(found["gpu_uuids"]) == 2
    assert "--tensor-parallel-size" in found["engine_args"]


def test_other_presets_leave_everything_as_written() -> None:
    found = models([{**LLAMA, "max_num_seqs": 4}], [card(32)], "balanced")["llama"]
    assert (found["kv_cache_dtype"], found["enforce_eager"], found["max_num_seqs"]) == ("auto", False, 4)


def test_a_model_that_serves_few_is_told_what_a_smaller_cache_would_do() -> None:
    few = models([{**LLAMA, "max_num_seqs": 64}], [card(32)], "balanced")["llama"]
    (note,) = [note for note in few["notes"] if "with kv_cache_dtype fp8 it would serve" in note]
    tried = models([{**LLAMA, "max_num_seqs": 64, "kv_cache_dtype": "fp8"}], [card(32)], "balanced")["llama"]
    assert f"would serve {int(tried['max_concurrency'])} in" in note
    none = models([{**LLAMA, "max_num_seqs": 64}], [card(32, capability="8.6")], "balanced")["llama"]
    assert not [note for note in none["notes"] if "fp8" in note]


def test_a_trade_that_saves_nothing_is_not_made() -> None:
    # FlashInfer's workspace is larger than half of this short cache.
    short = {**LLAMA, "max_model_len": 512}
    for size in range(170, 200):
        try:
            found = models([short], [card(size / 10)])["llama"]
        except AssertionError:
            continue
        assert found["kv_cache_dtype"] == "auto"


def test_a_pinned_batch_holds_a_token_of_each_sequence() -> None:
    small = {"name": "small", "model": "Qwen/Qwen2.5-0.5B-Instruct", "max_model_len": 512, "max_num_batched_tokens": 64}
    found = models([small], [card(32)])["small"]
    assert found["max_num_seqs"] == 64


def test_a_model_is_not_spread_over_cards_that_it_was_not_given() -> None:
    cards = parse_gpus([card(12, index) for index in range(2)])
    (spec,) = parse_models([{**LLAMA, "max_model_len": 2048, "gpus": [1]}])
    shape = ModelShape.from_config(CONFIGS[spec.model])
    result = choose([spec], [shape], cards, "aggressive", vllm.profile("0.33.0"), Calibration())
    assert not result["feasible"]
    assert "more than preset aggressive allows" in result["reasons"][0]


def test_one_that_eight_cards_hold_is_spread_over_all_of_them() -> None:
    large = {"name": "large", "model": "meta-llama/Llama-3.1-8B-Instruct", "max_model_len": 512, "enforce_eager": True}
    found = models([large], [card(4, index) for index in range(8)], "aggressive")["large"]
    assert (found["tensor_parallel_size"], len(found["gpu_uuids"])) == (8, 8)


def test_one_that_the_larger_of_two_cards_holds_is_not_spread() -> None:
    found = models([{**LLAMA, "max_model_len": 2048}], [card(32, 0), card(12, 1)], "balanced")["llama"]
    assert (found["tensor_parallel_size"], found["gpu_uuids"]) == (1, ["u0"])


def test_without_the_largest_the_others_fit_where_nothing_else_helps() -> None:
    small = {"name": "small", "model": "Qwen/Qwen2.5-0.5B-Instruct", "max_model_len": 256}
    tiny = {"name": "tiny", "model": "TinyLlama/TinyLlama-1.1B-Chat-v1.0", "max_model_len": 256}
    entries = [{**LLAMA, "max_model_len": 256}, tiny, small]
    specs, gpus = parse_models(entries), parse_gpus([card(12)])
    shapes = [ModelShape.from_config(CONFIGS[spec.model], spec.dtype, spec.quantization) for spec in specs]
    (said,) = choose(specs, shapes, gpus, "aggressive", vllm.profile("0.33.0"), Calibration())["reasons"]
    assert said.endswith("Without llama the others fit.")
    # Where only the smallest fits, both others are named, in the order of the list.
    gpus = parse_gpus([card(3.2)])
    (said,) = choose(specs, shapes, gpus, "aggressive", vllm.profile("0.33.0"), Calibration())["reasons"]
    assert said.endswith("Without llama, tiny the others fit.")
