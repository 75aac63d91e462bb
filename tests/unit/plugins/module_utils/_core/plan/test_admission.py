# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine takes on before it refuses: from its cache, and from how soon a first token is wanted."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine import vllm
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import CATALOGUE, parse_gpus
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.catalogue import CONFIGS
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan import admission
from ansible_collections.gpuserve.fleet.plugins.modules.memory_plan import plan

MODEL: dict[str, Any] = {"name": "qwen", "model": "Qwen/Qwen2.5-7B-Instruct", "max_model_len": 8192, "max_num_seqs": 64}
RTX_5090, UNKNOWN = "NVIDIA GeForce RTX 5090", "NVIDIA H3000"


def planned(**asked: Any) -> dict[str, Any]:
    gpu = {"name": asked.pop("gpu", RTX_5090), "uuid": "GPU-0", "index": 0, "memory_total_bytes": 32 << 30}
    model = {**MODEL, **asked.pop("model", {})}
    given = {"models": [model], "gpus": [gpu], "preset": "balanced", "engine_version": "0.33.0", "device": "cuda"}
    made = plan({**given, "image": "", "calibration": {}, "proved": {}, **asked})
    assert made["feasible"], made["reasons"]
    entry: dict[str, Any] = made["gpus"][0]["models"][0]
    return entry


def flag(entry: dict[str, Any], name: str) -> int | None:
    args = entry["engine_args"]
    return int(args[args.index(name) + 1]) if name in args else None


def bounds(entry: dict[str, Any]) -> tuple[int | None, int | None]:
    return flag(entry, "--max-num-queued-reqs"), flag(entry, "--max-num-queued-tokens")


def test_without_an_objective_as_many_wait_as_the_cache_holds() -> None:
    entry = planned()
    assert bounds(entry) == (320, entry["kv_cache_tokens"])


def test_no_request_is_refused_for_good() -> None:
    # n answers take n places; the engine's own bound on n is the same.
    assert (
        bounds(planned(model={"max_num_seqs": 2}))[0]
        == vllm.MOST_SEQUENCES
        == int(vllm.SAFE_ENVIRONMENT["VLLM_MAX_N_SEQUENCES"])
    )
    # Less than one batch would leave the card idle.
    assert bounds(planned(ttft_objective_s=0.01))[1] == 2048


def test_an_objective_bounds_what_is_read_in_that_time() -> None:
    one, two = (bounds(planned(ttft_objective_s=seconds))[1] for seconds in (1, 2))
    assert one and two and 5000 < one < 6000 and abs(two - 2 * one) <= 1
    entry = planned(ttft_objective_s=3600)
    assert bounds(entry)[1] == entry["kv_cache_tokens"]


def test_of_a_card_whose_speed_nobody_knows_the_cache_counts_and_the_plan_says_so() -> None:
    entry = planned(gpu=UNKNOWN, ttft_objective_s=1)
    assert bounds(entry)[1] == entry["kv_cache_tokens"]
    assert any("how fast this card reads prompts is not known" in note for note in entry["notes"])


def test_a_version_without_them_gets_none() -> None:
    assert bounds(planned(engine_version="0.26.0", ttft_objective_s=1)) == (None, None)


def test_a_mixture_of_experts_is_as_fast_as_the_experts_that_a_token_takes() -> None:
    gpus = parse_gpus([{"name": RTX_5090, "uuid": "a", "index": 0, "memory_total_bytes": 32 << 30}])
    dense = ModelShape.from_config(CONFIGS[MODEL["model"]], "auto", None, "config")
    assert admission.active_parameters(dense) == dense.parameters()
    mixed = {
        **CONFIGS[MODEL["model"]],
        "architectures": ["Qwen3MoeForCausalLM"],
        "model_type": "qwen3_moe",
        "num_experts": 64,
    }
    mixed |= {"num_experts_per_tok": 4, "moe_intermediate_size": 1024, "decoder_sparse_step": 1, "mlp_only_layers": []}
    shape = ModelShape.from_config(mixed, "auto", None, "config")
    active = admission.active_parameters(shape)
    wide = ModelShape.from_config({**mixed, "num_experts_per_tok": 64}, "auto", None, "config")
    assert active < shape.parameters() / 3 and admission.active_parameters(wide) == shape.parameters()
    rate, twice = (admission.prefill_rate(shape, gpus[0], ranks) for ranks in (1, 2))
    assert rate and twice == 2 * rate
    assert admission.prefill_rate(shape, dataclasses.replace(gpus[0], name=UNKNOWN), 1) is None


@pytest.mark.parametrize("value", ["soon", -1, 3601, None, float("nan")])
def test_what_is_no_time_is_refused(value: Any) -> None:
    with pytest.raises(FleetError, match=r"vllm_stack_ttft_objective_s: .* is no time to wait for a first token"):
        admission.objective(value)


def test_an_objective_is_part_of_what_a_plan_is_made_from() -> None:
    given: dict[str, Any] = {
        "models": [MODEL],
        "gpus": [{"name": RTX_5090}],
        "preset": "balanced",
        "engine_version": "",
        "device": "cuda",
    }
    given |= {"image": "", "calibration": {}, "proved": {}}
    first, second = plan(given), plan({**given, "ttft_objective_s": 1.0})
    assert first["inputs_digest"] != second["inputs_digest"]
    assert (
        plan({**given, "ttft_objective_s": 1.0, "proved": {"inputs_digest": first["inputs_digest"], "plan": first}})
        == second
    )


def test_an_engine_fetches_nothing_that_a_request_names() -> None:
    args = planned()["engine_args"]
    assert args[args.index("--allowed-media-domains") + 1] == "media.invalid"
    assert "--enable-prompt-tokens-details" in args
    own = planned(model={"extra_args": ["--allowed-media-domains", "example.org"]})["engine_args"]
    assert own.count("--allowed-media-domains") == 1 and "media.invalid" not in own
    assert "--allowed-media-domains" not in planned(engine_version="0.10.2")["engine_args"]


def test_whoever_adds_a_card_adds_its_speed_or_says_that_it_has_none() -> None:
    assert set(CATALOGUE) - set(admission.TERAFLOPS) == {
        "NVIDIA GB10",
        "NVIDIA GeForce RTX 4080 SUPER",
        "NVIDIA GeForce RTX 5060 Ti",
        "NVIDIA GeForce RTX 5070 Ti",
        "NVIDIA RTX A4000",
        "NVIDIA RTX A5000",
        "NVIDIA RTX PRO 5000 Blackwell",
        "NVIDIA RTX PRO 6000 Blackwell Server Edition",
        "NVIDIA RTX PRO 6000 Blackwell Workstation Edition",
    }
    assert set(admission.TERAFLOPS) <= set(CATALOGUE)
