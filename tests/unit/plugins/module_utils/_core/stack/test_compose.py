# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rendered stack: what is in it, what never is, and when an engine counts as changed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine import vllm
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import parse_models
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.compose import (
    StackOptions,
    endpoints,
    render,
    services,
)
from tests.bench.plan import GUIDE, plan_host

PLAN = plan_host([{"name": "NVIDIA GeForce RTX 5090", "uuid": "GPU-abc"}])
OPTIONS = StackOptions("gpuserve", "vllm/vllm-openai@sha256:0", "cuda", "/var/cache/x", "bridge")


def stack(options: StackOptions = OPTIONS, **change: Any) -> dict[str, Any]:
    return render(parse_models([{**GUIDE[0], **change}, *GUIDE[1:]]), PLAN, options)


def digests(rendered: dict[str, Any]) -> dict[str, str]:
    return {service["name"]: service["digest"] for service in services(rendered)}


def test_a_service_a_model_on_loopback_without_powers() -> None:
    for service in stack()["services"].values():
        assert service["ports"][0].startswith("127.0.0.1:80")
        assert service["cap_drop"] == ["ALL"]
        assert service["restart"] == "no"
        devices = service["deploy"]["resources"]["reservations"]["devices"]
        assert devices == [{"driver": "cdi", "device_ids": ["nvidia.com/gpu=GPU-abc"], "capabilities": ["gpu"]}]


def test_secrets_are_nowhere_in_it() -> None:
    rendered = stack(replace(OPTIONS, hf_token="hf_secret", api_key="sk-secret", entrypoint=("python3", "serve.py")))
    assert "secret" not in json.dumps(rendered)
    service = rendered["services"]["tinyllama"]
    # What Compose or Docker put into the environment stands in `docker inspect`.
    assert "env_file" not in service
    digest = service["labels"]["fleet.gpuserve.digest"]
    assert service["volumes"][-1] == {
        "type": "bind",
        "source": f"./env/tinyllama-{digest}.env",
        "target": "/run/gpuserve/env",
        "read_only": True,
        "bind": {"create_host_path": False},
    }
    assert service["entrypoint"][-2:] == ["python3", "serve.py"]


def test_without_secrets_the_image_starts_as_it_is() -> None:
    assert all("entrypoint" not in service for service in stack()["services"].values())


def test_only_what_changed_has_another_digest() -> None:
    before, after = digests(stack()), digests(stack(env={"A": "1"}))
    assert before["tinyllama"] != after["tinyllama"]
    assert {name: value for name, value in before.items() if name != "tinyllama"} == {
        name: value for name, value in after.items() if name != "tinyllama"
    }


def test_a_new_secret_is_a_change() -> None:
    assert digests(stack(replace(OPTIONS, hf_token="a"))) != digests(stack(replace(OPTIONS, hf_token="b")))


def test_a_folder_is_mounted_read_only_and_the_hub_left_alone() -> None:
    service = stack(model="/srv/models/x")["services"]["tinyllama"]
    assert [(volume["source"], volume["target"], volume.get("read_only", False)) for volume in service["volumes"]] == [
        (service["volumes"][0]["source"], "/root/.cache/vllm", False),
        ("/srv/models/x", "/srv/models/x", True),
    ]
    assert service["environment"]["HF_HUB_OFFLINE"] == "1"


def test_the_gateway_gets_every_endpoint() -> None:
    found = endpoints(parse_models(GUIDE), PLAN, replace(OPTIONS, surge_offset=1000))[1]
    assert found["endpoints"] == ["127.0.0.1:8002"]
    assert found["standby"] == ["127.0.0.1:9002"]


def test_engines_on_the_hosts_network_have_no_surge_instance() -> None:
    options = replace(OPTIONS, surge_offset=1000, network="host")
    assert "standby" not in endpoints(parse_models(GUIDE), PLAN, options)[0]


def test_ranks_that_share_their_graphs_buffers_have_no_expandable_segments() -> None:
    two = plan_host([{"name": "NVIDIA GeForce RTX 5090", "uuid": f"GPU-{at}"} for at in range(2)])
    for gpu in two["gpus"]:
        for model in gpu["models"]:
            model["tensor_parallel_size"] = 2 if model["name"] == "yi" else 1
    rendered = render(parse_models(GUIDE), two, OPTIONS)["services"]
    assert "PYTORCH_CUDA_ALLOC_CONF" in rendered["qwen"]["environment"]
    assert "PYTORCH_CUDA_ALLOC_CONF" not in rendered["yi"]["environment"]


def test_what_a_plan_says_of_the_allocator_counts() -> None:
    plan = plan_host([{"name": "NVIDIA GeForce RTX 5090", "uuid": "GPU-abc"}])
    for model in plan["gpus"][0]["models"]:
        model["env"] = vllm.environment("gptq" if model["name"] == "tinyllama" else None)
    rendered = render(parse_models(GUIDE), plan, OPTIONS)["services"]
    assert rendered["tinyllama"]["environment"]["PYTORCH_CUDA_ALLOC_CONF"] == "expandable_segments:False"
    assert rendered["qwen"]["environment"]["PYTORCH_CUDA_ALLOC_CONF"] == "expandable_segments:True"


def test_an_engine_whose_files_are_on_the_host_starts_offline_and_others_find_the_mirror() -> None:
    rendered = stack(replace(OPTIONS, offline=frozenset({"tinyllama"}), hub_endpoint="http://mirror"))["services"]
    assert rendered["tinyllama"]["environment"]["HF_HUB_OFFLINE"] == "1"
    others = [service["environment"] for name, service in rendered.items() if name != "tinyllama"]
    assert others and all(found["HF_ENDPOINT"] == "http://mirror" and "HF_HUB_OFFLINE" not in found for found in others)
