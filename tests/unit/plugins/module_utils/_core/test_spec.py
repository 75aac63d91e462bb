# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every mistake in the inventory is one sentence that names its place and its remedy."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import parse_gpus
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.presets import budget_bytes
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import check_preset, parse_models
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB, MIB, parse_size

GOOD = {"name": "qwen", "model": "Qwen/Qwen2.5-3B-Instruct"}


def test_ports_default_from_8001_up_around_those_taken() -> None:
    specs = parse_models([{**GOOD, "name": "a"}, {**GOOD, "name": "b", "port": 8001}, {**GOOD, "name": "c"}])
    assert [spec.port for spec in specs] == [8002, 8001, 8003]


def test_two_models_on_one_port() -> None:
    with pytest.raises(FleetError) as caught:
        parse_models([{**GOOD, "port": 8002}, {**GOOD, "name": "b"}, {**GOOD, "name": "c", "port": 8002}])
    assert str(caught.value) == "vllm_stack_models[2].port: 8002 is already qwen's. Ports from 8003 are free."


@pytest.mark.parametrize(
    "name", ["a/b", 'a"b', "a'b", "a\nb", "a: b", "{{ x }}", "", "-a", "a-", "A", "../x", "a" * 80, 7, None, "é"]
)
def test_hostile_names(name: Any) -> None:
    with pytest.raises(FleetError, match=r"vllm_stack_models\[0\]\.name: ") as caught:
        parse_models([{**GOOD, "name": name}])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("model", [None, "", "a b", "x\ny", "--flag", "/srv/../etc", "a'b", 5])
def test_hostile_models(model: Any) -> None:
    with pytest.raises(FleetError, match=r"vllm_stack_models\[0\]\.model: "):
        parse_models([{**GOOD, "model": model}])


@pytest.mark.parametrize(
    ("entry", "place"),
    [
        ({"port": 80}, "port"),
        ({"port": "many"}, "port"),
        ({"max_num_seqs": 0}, "max_num_seqs"),
        ({"max_model_len": -2}, "max_model_len"),
        ({"max_num_seqs": 64, "max_num_batched_tokens": 32}, "max_num_batched_tokens"),
        ({"gpu_memory_utilization": 1.5}, "gpu_memory_utilization"),
        ({"kv_cache_memory_bytes": "much"}, "kv_cache_memory_bytes"),
        ({"dtype": "int3"}, "dtype"),
        ({"engine": "other"}, "engine"),
        ({"enforce_eager": "maybe"}, "enforce_eager"),
        ({"env": {"A B": 1}}, "env"),
        ({"lora_adapters": [{"name": "x"}]}, "lora_adapters"),
        ({"lora_adapters": [{"name": "x", "path": "/a", "size": 3}]}, "lora_adapters"),
        ({"lora_adapters": [{"name": "x y", "path": "/a"}]}, "lora_adapters.name"),
        ({"lora_adapters": [{"name": "x", "path": "--a"}]}, "lora_adapters.path"),
        ({"lora_adapters": [{"name": "x", "path": "/a", "rank": 17}]}, "lora_adapters.rank"),
        ({"lora_adapters": [{"name": "qwen", "path": "/a"}]}, "lora_adapters"),
        ({"engine": "sglang"}, "engine"),
        ({"gpus": 0}, "gpus"),
        ({"gpus": [0, "0"]}, "gpus"),
        ({"weights_bytes": "0GiB"}, "weights_bytes"),
        ({"kv_cache_memory_bytes": 0}, "kv_cache_memory_bytes"),
        ({"kv_cache_memory_bytes": "1GiB", "gpu_memory_utilization": 0.5}, "gpu_memory_utilization"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_each_mistake_names_its_place(entry: dict[str, Any], place: str) -> None:
    with pytest.raises(FleetError) as caught:
        parse_models([{**GOOD, **entry}])
    assert str(caught.value).startswith(f"vllm_stack_models[0].{place}: ")
    assert caught.value.remedy


@pytest.mark.parametrize("models", [None, "x", {}, [], [1]])
def test_a_list_of_mappings_is_needed(models: Any) -> None:
    with pytest.raises(FleetError, match="vllm_stack_models"):
        parse_models(models)


def test_names_are_unique_with_aliases() -> None:
    with pytest.raises(FleetError, match="already the name of"):
        parse_models([GOOD, {**GOOD, "name": "b", "aliases": ["qwen"]}])


def test_presets() -> None:
    assert budget_bytes("balanced", 100 * GIB) == 85 * GIB
    assert budget_bytes("auto", 10 * GIB) == 10 * GIB - 512 * MIB
    with pytest.raises(FleetError, match="there is no preset 'big'"):
        check_preset("big")


@pytest.mark.parametrize(
    ("text", "size"),
    [("6GiB", 6 * GIB), ("512 MiB", 512 * MIB), ("1.5gib", 3 * GIB // 2), (7, 7), ("20GB", 20 * 10**9)],
)
def test_sizes(text: Any, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "-1", True, None, 1.5, "6 apples"])
def test_what_is_no_size(text: Any) -> None:
    with pytest.raises(FleetError):
        parse_size(text)


@pytest.mark.parametrize(
    "change",
    [
        {"num_hidden_layers": None},
        {"num_hidden_layers": 0},
        {"hidden_size": -1},
        {"vocab_size": "many"},
        {"hidden_size": 2**60},
    ],
)
def test_hostile_shapes_name_the_field(change: dict[str, Any]) -> None:
    config = {
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": 64,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "intermediate_size": 128,
        "vocab_size": 100,
        **change,
    }
    with pytest.raises(FleetError, match=next(iter(change))):
        ModelShape.from_config(config)


def test_a_card_of_no_catalogue_needs_bytes() -> None:
    with pytest.raises(FleetError, match="the catalogue has no card 'RTX 9999'"):
        parse_gpus([{"name": "RTX 9999"}])
    assert parse_gpus([{"name": "RTX 9999", "memory_total_bytes": "40GiB"}])[0].usable_bytes == 40 * GIB
    assert parse_gpus([{"name": "RTX 5090"}])[0].usable_bytes == 32113 * MIB


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("HF_TOKEN", "vllm_stack_hf_token"),
        ("HUGGING_FACE_HUB_TOKEN", "vllm_stack_hf_token"),
        ("HUGGINGFACE_HUB_TOKEN", "vllm_stack_hf_token"),
        ("VLLM_API_KEY", "vllm_stack_api_key"),
    ],
)
def test_tokens_of_the_whole_stack_are_pointed_to_their_variables(name: str, variable: str) -> None:
    with pytest.raises(FleetError) as told:
        parse_models([{"name": "a", "model": "o/m", "env": {name: "planted"}}])
    assert str(told.value) == f"vllm_stack_models[0].env.{name}: it is one of the whole stack. Set {variable} instead."


def test_a_variable_that_overrides_the_plan_is_refused() -> None:
    with pytest.raises(
        FleetError, match=r"VLLM_CPU_KVCACHE_SPACE: the engine would take it.*Set kv_cache_memory_bytes"
    ):
        parse_models([{"name": "a", "model": "o/m", "env": {"VLLM_CPU_KVCACHE_SPACE": "4"}}])


@pytest.mark.parametrize("entry", [{"name": "a-surge"}, {"name": "a", "aliases": ["b-surge"]}])
def test_names_of_surge_instances_are_reserved(entry: dict[str, object]) -> None:
    with pytest.raises(FleetError, match="ends in -surge, which names the surge instance of another model"):
        parse_models([{"model": "o/m", **entry}])
    parse_models([{"name": "surge", "model": "o/m", "aliases": ["a-surge-b"]}])


COMMIT = "0123456789abcdef0123456789abcdef01234567"
ELSEWHERE = {"config": {"auto_map": {"AutoModel": "acme/code--modeling.Model"}}}


@pytest.mark.parametrize("revision", [None, "main", "v1.0", "0123abc", COMMIT.upper(), f"{COMMIT}0"])
def test_code_of_the_hub_wants_the_commit_that_somebody_read(revision: Any) -> None:
    with pytest.raises(FleetError) as caught:
        parse_models([{"name": "a", "model": "o/m", "trust_remote_code": True, "revision": revision}])
    assert caught.value.where == "vllm_stack_models[0].revision"
    assert "40 digits" in str(caught.value)


def test_code_at_a_commit_or_in_a_folder_is_taken() -> None:
    at_commit = {"name": "a", "model": "o/m", "trust_remote_code": True, "revision": COMMIT}
    in_folder = {"name": "b", "model": "/srv/m", "trust_remote_code": True}
    assert [spec.trust_remote_code for spec in parse_models([at_commit, in_folder])] == [True, True]


@pytest.mark.parametrize(
    ("extra_args", "good"),
    [
        ([], False),
        (["--code-revision=main"], False),
        ([f"--code-revision={COMMIT}"], True),
        (["--code-revision", COMMIT], True),
        (["--code_revision", COMMIT], True),
    ],
)
def test_code_of_another_repository_wants_a_commit_of_that(extra_args: list[str], good: bool) -> None:
    entry = {"name": "a", "model": "o/m", "trust_remote_code": True, "revision": COMMIT, "info": ELSEWHERE}
    if good:
        assert parse_models([{**entry, "extra_args": extra_args}])
        return
    with pytest.raises(FleetError) as caught:
        parse_models([{**entry, "extra_args": extra_args}])
    assert caught.value.where == "vllm_stack_models[0].extra_args"
