# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Engines of several hosts in a rendered stack: the first one answers for all, and they meet where the inventory says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.target import part_of
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import parse_models
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack import compose, group
from ansible_collections.gpuserve.fleet.plugins.modules.memory_plan import plan

OPTIONS = compose.StackOptions(
    "gpuserve",
    "vllm/vllm-openai@sha256:0",
    "cuda",
    "/var/cache/x",
    "bridge",
    offline=frozenset({"large", "small"}),
    transport="socket",
    interfaces={"192.0.2.1": "eth1", "192.0.2.2": "eth1"},
)
SMALL = {"name": "small", "model": "Qwen/Qwen2.5-0.5B-Instruct", "max_model_len": 2048, "max_num_seqs": 4}


def models(rank: int) -> list[dict[str, Any]]:
    member = {"rank": rank, "address": f"192.0.2.{rank + 1}", "master_address": "192.0.2.1"}
    large = {
        "name": "large",
        "model": "meta-llama/Llama-3.1-8B-Instruct",
        "max_model_len": 8192,
        "distributed": {"hosts": 2, "member": member},
    }
    return [large, SMALL]


def planned(rank: int, **change: Any) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "models": models(rank),
        "gpus": [{"name": "NVIDIA GeForce RTX 5090"}],
        "preset": "balanced",
    }
    known: dict[str, Any] = {"engine_version": "0.33.0", "device": "cuda", "image": "", "calibration": {}, "proved": {}}
    return plan({**asked, **known, **change})


def rendered(rank: int, **change: Any) -> dict[str, Any]:
    return compose.render(parse_models(models(rank)), planned(rank), replace(OPTIONS, **change))


def large(rank: int, **change: Any) -> dict[str, Any]:
    service: dict[str, Any] = rendered(rank, **change)["services"]["large"]
    return service


@pytest.mark.parametrize("transport", ["socket", "tcp"])
@pytest.mark.parametrize("rank", [0, 1])
def test_they_are_in_the_hosts_network_and_nobody_else_for_it(rank: int, transport: str) -> None:
    stack = rendered(rank, transport=transport)
    assert stack["services"]["large"]["network_mode"] == "host"
    assert "ports" not in stack["services"]["large"] and "networks" not in stack["services"]["large"]
    assert stack["services"]["small"].get("network_mode", "bridge") in ("none", "bridge")
    environment = stack["services"]["large"]["environment"]
    met = {name: environment[name] for name in ("VLLM_HOST_IP", "GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")}
    assert met == {
        "VLLM_HOST_IP": f"192.0.2.{rank + 1}",
        "GLOO_SOCKET_IFNAME": "eth1",
        "NCCL_SOCKET_IFNAME": "=eth1",
    }
    assert "PYTORCH_CUDA_ALLOC_CONF" not in environment
    assert stack["services"]["large"]["labels"]["fleet.gpuserve.group"] == f"{rank}/2"


def test_the_first_one_answers_for_all() -> None:
    on_socket, on_port = large(0), large(0, transport="tcp")
    assert on_socket["command"][3:5] == ["--uds", compose.ENGINE_SOCKET]
    # On the host's network a port of loopback is bound as it is.
    assert on_port["command"][3:7] == ["--host", "127.0.0.1", "--port", "8001"]
    assert "8001" in on_port["healthcheck"]["test"][3]
    assert "--headless" not in on_socket["command"]


def test_the_others_have_no_api() -> None:
    for transport in ("socket", "tcp"):
        service = large(1, transport=transport)
        words = " ".join(service["command"])
        assert "--headless" in words and "--uds" not in words and "--port" not in words.replace("--master-port", "")
        assert service["healthcheck"] == {"disable": True}
        assert all(volume["target"] != compose.ENGINE_SOCKETS for volume in service["volumes"])
        assert "entrypoint" not in service, "nothing waits for a socket that never comes"


def test_only_the_first_hosts_gateway_knows_of_it() -> None:
    for rank, names in ((0, ["large", "small"]), (1, ["small"])):
        found = compose.endpoints(parse_models(models(rank)), planned(rank), OPTIONS)
        assert [entry["name"] for entry in found] == names
    met = compose.endpoints(parse_models(models(0)), planned(0), replace(OPTIONS, transport="tcp", surge_offset=100))
    assert "standby" not in met[0] and "standby" in met[1]


def test_their_flags_differ_in_the_place_alone() -> None:
    first, second = (large(rank, transport="tcp")["command"] for rank in (0, 1))
    flags = [word for word in first if word not in second] + [word for word in second if word not in first]
    assert sorted(flags) == ["--headless", "--host", "--port", "0", "1", "127.0.0.1", "8001"]
    for words in (first, second):
        assert words[words.index("--master-addr") + 1] == "192.0.2.1"
        assert words[words.index("--nnodes") + 1] == words[words.index("--pipeline-parallel-size") + 1] == "2"


def test_a_preview_made_elsewhere_names_no_interface() -> None:
    assert "GLOO_SOCKET_IFNAME" not in large(0, interfaces={})["environment"]


def test_an_address_that_is_not_the_hosts_is_refused() -> None:
    group.check_interface("192.0.2.1", "eth1")
    with pytest.raises(FleetError) as refused:
        group.check_interface("192.0.2.1", "")
    assert str(refused.value).startswith("gpuserve_address: 192.0.2.1 is on no interface of this host.")


def test_what_a_group_opens_is_said() -> None:
    assert group.warnings(parse_models([SMALL])) == []
    (first,), (other,) = (group.warnings(parse_models(models(rank))) for rank in (0, 1))
    assert (
        "listens at 192.0.2.1 at ports that it chooses and at 29501 on every address, and asks nobody for a key"
        in first
    )
    assert "listens at 192.0.2.2 at ports that it chooses, and asks nobody for a key" in other


def test_a_bring_up_knows_parts_of_one_group_by_what_all_of_them_have() -> None:
    (first, alone), (other, _alone) = (compose.services(rendered(rank)) for rank in (0, 1))
    assert (first["group"], other["group"], "group" in alone) == ("0/2", "1/2", False)
    one, two = part_of(first), part_of(other)
    assert one is not None and two is not None and part_of(alone) is None
    assert one.group == two.group == "large@192.0.2.1:29501"
    assert (one.is_headless, two.is_headless, two.rank, two.hosts) == (False, True, 1, 2)


def test_stages_share_the_model_and_decide_nothing_that_others_would_not() -> None:
    parts = [planned(rank)["gpus"][0]["models"][0] for rank in (0, 1)]
    alone = planned(0, models=[{**models(0)[0], "distributed": None}], gpus=[{"name": "NVIDIA H100 80GB HBM3"}])
    whole = alone["gpus"][0]["models"][0]["weights_bytes"]
    assert 0 <= sum(part["weights_bytes"] for part in parts) - whole <= 64 * 2**20
    for key in ("max_model_len", "max_num_seqs", "max_num_batched_tokens", "enforce_eager", "kv_cache_dtype"):
        assert parts[0][key] == parts[1][key]
    assert any("stage 1 of 2: layers 0 to 15" in note for note in parts[0]["notes"])
    assert all(any("never measured" in note for note in part["notes"]) for part in parts)
    # The last stage alone draws tokens.
    sampled = [next(one["bytes"] for one in part["parts"] if one["name"] == "sampler") for part in parts]
    assert sampled[0] == 0 < sampled[1]


def test_a_card_that_is_too_small_trades_nothing_away() -> None:
    small = {"name": "card", "uuid": "GPU-0", "memory_total_bytes": 9 * 2**30, "compute_capability": "12.0"}
    made = planned(0, models=models(0)[:1], gpus=[small, {**small, "uuid": "GPU-1", "index": 1}], preset="auto")
    assert not made["feasible"]
    (model,) = [model for gpu in made["gpus"] for model in gpu["models"]]
    assert (model["tensor_parallel_size"], model["kv_cache_dtype"], model["enforce_eager"]) == (1, "auto", False)
    assert model["max_num_seqs"] == 16


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (
            {"engine_version": "0.10.2"},
            "vllm_stack_engine_image: vLLM 0.10.2 was not tried over several hosts without Ray.",
        ),
        (
            {"models": [{**models(0)[0], "distributed": {"hosts": 2}}]},
            "vllm_stack_models[0].distributed: it was not decided which part of large this host has. Import the playbook",
        ),
        (
            {"models": [{**models(0)[0], "extra_args": ["--speculative-config", '{"method": "ngram"}']}]},
            "vllm_stack_models[0].extra_args: guesses ahead are planned on one host only.",
        ),
        (
            {"models": [{**models(0)[0], "extra_args": ["--headless"]}]},
            "vllm_stack_models[0].extra_args: --headless is decided by the plan. Set distributed instead.",
        ),
    ],
)
def test_what_no_group_can_be_made_of_is_refused(change: dict[str, Any], what: str) -> None:
    with pytest.raises(FleetError) as refused:
        planned(0, **change)
    assert str(refused.value).startswith(what)
