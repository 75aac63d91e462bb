# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every mistake in the inventory is one sentence that names its place and its remedy."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.distributed_rule import Distributed
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import parse_gpus
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.placement_rule import PlacementRule
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.presets import budget_bytes
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import ModelSpec, check_preset, parse_models
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


@pytest.mark.parametrize("wanted", [True, "yes", "True", 1])
@pytest.mark.parametrize("revision", [None, "main", "v1.0", "0123abc", COMMIT.upper(), f"{COMMIT}0"])
def test_code_of_the_hub_wants_the_commit_that_somebody_read(revision: Any, wanted: Any) -> None:
    with pytest.raises(FleetError) as caught:
        parse_models([{"name": "a", "model": "o/m", "trust_remote_code": wanted, "revision": revision}])
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


EVERYTHING: dict[str, Any] = {
    "name": "qwen",
    "model": "Qwen/Qwen2.5-3B-Instruct",
    "port": 8123,
    "max_model_len": "32k",
    "max_num_seqs": "24",
    "max_num_batched_tokens": 2048,
    "revision": COMMIT,
    "dtype": "half",
    "quantization": "awq",
    "kv_cache_dtype": "fp8",
    "enforce_eager": True,
    "priority": 7,
    "gpus": [1, "GPU-b"],
    "tensor_parallel_size": 2,
    "engine": "vllm",
    "weights_bytes": "6GiB",
    "gpu_memory_utilization": "0.5",
    "extra_args": ["--seed", 3],
    "env": {"A": 1},
    "aliases": ["Org/Alias:1"],
    "lora_adapters": [{"name": "sql", "path": "org/sql", "rank": 8}],
    "trust_remote_code": "yes",
    "config": {"hidden_size": 1},
    "config_path": "/a/config.json",
    "info": {"commit": "c0ffee"},
    "task": "embed",
    "allow_network": True,
    "placement": 2,
    "distributed": {"hosts": 2},
}


def test_each_setting_arrives_in_its_field() -> None:
    assert parse_models([EVERYTHING]) == (
        ModelSpec(
            name="qwen",
            model="Qwen/Qwen2.5-3B-Instruct",
            port=8123,
            max_model_len=32000,
            max_num_seqs=24,
            max_num_batched_tokens=2048,
            revision=COMMIT,
            dtype="half",
            quantization="awq",
            kv_cache_dtype="fp8",
            enforce_eager=True,
            priority=7,
            gpus=("1", "GPU-b"),
            tensor_parallel_size=2,
            engine="vllm",
            weights_bytes=6442450944,
            gpu_memory_utilization=0.5,
            extra_args=("--seed", "3"),
            env={"A": "1"},
            aliases=("Org/Alias:1",),
            lora_adapters=({"name": "sql", "path": "org/sql", "rank": 8},),
            trust_remote_code=True,
            config={"hidden_size": 1},
            config_path="/a/config.json",
            info={"commit": "c0ffee"},
            task="embed",
            allow_network=True,
            placement=PlacementRule(hosts=2),
            distributed=Distributed(2),
        ),
    )
    # What is in no entry has its default, and no setting was forgotten above.
    assert set(ModelSpec.__dataclass_fields__) - set(EVERYTHING) == {"kv_cache_memory_bytes", "auto_length"}
    assert parse_models([{"name": "a", "model": "b/c"}]) == (ModelSpec("a", "b/c", 8001),)
    assert (
        parse_models([{"name": "a", "model": "b/c", "kv_cache_memory_bytes": "2GiB"}])[0].kv_cache_memory_bytes == 2**31
    )


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ({"max_model_len": "auto"}, "auto_length", True),
        ({"max_model_len": -1}, "auto_length", True),
        ({"max_model_len": "-1"}, "max_model_len", None),
        ({"max_model_len": "32K"}, "max_model_len", 32768),
        ({"max_model_len": "1.5k"}, "max_model_len", 1500),
        ({"max_model_len": "1m"}, "max_model_len", 1000000),
        ({"max_model_len": "1M"}, "max_model_len", 1048576),
        ({"max_model_len": 1}, "max_model_len", 1),
        ({"max_model_len": 2147483648}, "max_model_len", 2147483648),
        ({"max_num_seqs": 8, "max_num_batched_tokens": 8}, "max_num_batched_tokens", 8),
        ({"gpu_memory_utilization": 1}, "gpu_memory_utilization", 1.0),
        ({"priority": 0}, "priority", 0),
        ({"priority": 1000}, "priority", 1000),
        ({"name": "a" * 63}, "name", "a" * 63),
        ({"lora_adapters": [{"name": "x", "path": "/x"}]}, "lora_adapters", ({"name": "x", "path": "/x"},)),
        ({"aliases": ["a" * 128]}, "aliases", ("a" * 128,)),
        ({"model": "/models/x"}, "is_local", True),
        ({"model": "models/x"}, "is_local", False),
        ({"model": "gpt2"}, "model", "gpt2"),
        ({"model": "a/b.c-d_e"}, "model", "a/b.c-d_e"),
        ({"enforce_eager": None, "priority": None, "env": None}, "priority", 1),
        ({"env": {"A": ""}}, "env", {"A": ""}),
        ({"env": {"A": 0.5}}, "env", {"A": "0.5"}),
        ({"gpus": ["MIG-8c1d5a9e-0/1/0"]}, "gpus", ("MIG-8c1d5a9e-0/1/0",)),
        ({"gpus": ["G" * 80]}, "gpus", ("G" * 80,)),
        ({"model": f"{'o' * 48}/{'n' * 47}"}, "model", f"{'o' * 48}/{'n' * 47}"),
        *(({"dtype": dtype}, "dtype", dtype) for dtype in ("auto", "half", "float16", "bfloat16", "float", "float32")),
        *(({"kv_cache_dtype": kind}, "kv_cache_dtype", kind) for kind in ("fp8", "fp8_e4m3", "fp8_e5m2")),
        *(({"task": task}, "task", task) for task in ("generate", "embed", "score", "classify", "transcribe")),
        *(
            ({"lora_adapters": [adapter]}, "lora_adapters", (adapter,))
            for adapter in ({"name": "x", "path": "/x", "rank": rank} for rank in (8, 16, 32, 64, 128, 256, 320, 512))
        ),
        ({"gpu_memory_utilization": "0.9"}, "gpu_memory_utilization", 0.9),
        (
            {"lora_adapters": [{"name": "x", "path": "/x", "rank": "16"}]},
            "lora_adapters",
            ({"name": "x", "path": "/x", "rank": "16"},),
        ),
    ],
)
def test_what_is_taken_at_its_bounds(change: dict[str, Any], field: str, value: Any) -> None:
    assert getattr(parse_models([{"name": "a", "model": "b/c", **change}])[0], field) == value


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_model_len": 0}, "max_model_len: 0 is out of bounds. Take a whole number from 1 to 2147483648."),
        ({"max_model_len": 2147483649}, "max_model_len: 2147483649 is out of bounds. Take a whole number from 1 to"),
        ({"max_model_len": "1.5K"}, "max_model_len: '1.5K' is no whole number. Take one from 1 to 2147483648."),
        ({"max_model_len": "\u0664k"}, "max_model_len: '\\u0664k' is no whole number."),
        ({"max_num_seqs": "\uff11\uff12"}, "max_num_seqs: '\\uff11\\uff12' is no whole number."),
        ({"priority": 1001}, "priority: 1001 is out of bounds. Take a whole number from 0 to 1000."),
        ({"priority": -1}, "priority: -1 is out of bounds."),
        (
            {"max_num_seqs": 9, "max_num_batched_tokens": 8},
            "max_num_batched_tokens: 8 is less than max_num_seqs, 9. Raise it to 9 at least",
        ),
        ({"gpu_memory_utilization": 90}, "gpu_memory_utilization: 90 is not a share. Write 0.9."),
        ({"gpu_memory_utilization": 0}, "gpu_memory_utilization: 0 is not a share. Take a number above 0 and up to 1."),
        ({"gpu_memory_utilization": 101}, "gpu_memory_utilization: 101 is not a share. Take a number above 0"),
        ({"gpu_memory_utilization": True}, "gpu_memory_utilization: true is not a share."),
        ({"gpu_memory_utilization": 1.01}, "gpu_memory_utilization: 1.01 is not a share. Take a number above 0"),
        ({"gpu_memory_utilization": "85 %"}, "gpu_memory_utilization: '85 %' is not a share. Write 0.85."),
        ({"gpu_memory_utilization": "0,9"}, "gpu_memory_utilization: '0,9' is not a share. Write 0.9."),
        ({"gpu_memory_utilization": "\u0660.\u0669"}, "gpu_memory_utilization: '\\u0660.\\u0669' is not a share. Take"),
        ({"gpu_memory_utilization": float("nan")}, "gpu_memory_utilization: nan is not a share. Take"),
        ({"gpu_memory_utilization": [0.9]}, "gpu_memory_utilization: [0.9] is not a share. Take"),
        (
            {"kv_cache_memory_bytes": "31,36 GiB"},
            "kv_cache_memory_bytes: '31,36 GiB' is not a size. Write 31.36GiB, with",
        ),
        ({"kv_cache_memory_bytes": 6}, "kv_cache_memory_bytes: 6 is 6 bytes. Write it with its unit, like 6GiB."),
        ({"dtype": False}, "dtype: false is not known. Take one of auto"),
        ({"dtype": "bf16"}, "dtype: 'bf16' is not known. Did you mean bfloat16? Take one of auto"),
        ({"engine": []}, "engine: [] is not known."),
        ({"revision": 1234567}, "revision: 1234567 is no text to YAML. Write it in quotes, or leave it out."),
        ({"env": {"A": True}}, "env.A: it is true or false to YAML, and no text. Write it in quotes."),
        ({"env": {"A": {"b": "hf_secret"}}}, "env.A: it is a mapping, and no text. Write one, in quotes."),
        ({"env": {"A": None}}, "env.A: it is empty."),
        ({"env": {"A": "x\0"}}, "env.A: it holds a character that no process can be given."),
        ({"env": []}, "env: it must map variable names to values."),
        ({"extra_args": [{"--seed": 7}]}, "extra_args[0]: it is a mapping, and no text."),
        ({"extra_args": ["--seed", None]}, "extra_args[1]: it is empty."),
        ({"extra_args": [["--seed"]]}, "extra_args[0]: it is a list, and no text."),
        ({"gpus": [True]}, "gpus[0]: true is no card. Write its number, from 0, or its UUID."),
        ({"gpus": [-1]}, "gpus[0]: -1 is no card."),
        ({"gpus": [None]}, "gpus[0]: nothing is no card."),
        ({"config": "x"}, "config: 'x' is no mapping."),
        ({"info": "x", "trust_remote_code": True, "revision": COMMIT}, "info: 'x' is no mapping."),
        ({"model": "./models/x"}, "model: './models/x' is no model. Write the whole path of a folder on the host."),
        ({"model": "~/x"}, "model: '~/x' is no model. Write the whole path"),
        ({"model": "a/b/c"}, "model: 'a/b/c' is no model. Write the whole path"),
        ({"model": "a/"}, "model: 'a/' is no model. Write a hub id"),
        ({"model": "https://hub/a/b"}, "model: 'https://hub/a/b' is no model. Write a hub id"),
        ({"model": "\uff31wen/x"}, "model: '\\uff31wen/x' is no model. Write a hub id"),
        (
            {"gpu_memory_utilization": 0.5, "kv_cache_memory_bytes": "1GiB"},
            "gpu_memory_utilization: kv_cache_memory_bytes says already how large the cache is. Leave one of them out.",
        ),
        ({"name": "a" * 64}, "name: "),
        ({"gpus": [0, "0"]}, "gpus: 0, 0 names a card twice. Name each once."),
        ({"engine": "sglang"}, "engine: SGLang is not served yet."),
        ({"lora_adapters": [{"name": "x"}]}, "lora_adapters: each adapter needs name and path."),
        (
            {"lora_adapters": [{"name": "x", "path": "y", "size": 1}]},
            "lora_adapters: each adapter needs name and path.",
        ),
        (
            {"lora_adapters": [{"name": "x", "path": "y", "rank": 9}]},
            "lora_adapters.rank: 9 is no rank that the engine",
        ),
        ({"weights_bytes": 0}, "weights_bytes: 0 is nothing. Write it like 6GiB, or leave it out."),
        ({"revision": "a b"}, "revision: 'a b' is not one word."),
        ({"enforce_eager": "maybe"}, "enforce_eager: 'maybe' is neither true nor false."),
        ({"dtype": "fp8"}, "dtype: "),
        ({"env": {"1A": 1}}, "env: it must map variable names to values."),
        ({"aliases": ["a" * 129]}, "aliases: "),
    ],
)
def test_what_is_refused_beyond_its_bounds(change: dict[str, Any], message: str) -> None:
    with pytest.raises(FleetError) as caught:
        parse_models([{"name": "a", "model": "b/c", **change}])
    assert str(caught.value).startswith(f"vllm_stack_models[0].{message}")


@pytest.mark.parametrize("character", list("\n\r\t\0\"'`$\\ "))
def test_no_character_of_a_shell_is_in_a_folder(character: str) -> None:
    with pytest.raises(FleetError, match="is no model"):
        parse_models([{"name": "a", "model": f"/srv/models/x{character}y"}])


@pytest.mark.parametrize("field", ["name", "aliases"])
def test_a_name_that_is_none_is_shown_in_part(field: str) -> None:
    value = "\u00e4" * 200
    with pytest.raises(FleetError) as caught:
        parse_models([{"name": "a", "model": "b/c", field: value if field == "name" else [value]}])
    assert caught.value.what.partition(" is no name")[0] == f"'{value[:59]}"
