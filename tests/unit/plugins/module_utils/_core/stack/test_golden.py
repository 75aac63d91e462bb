# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One whole service, to the last key, for each kind of host; and the stack around it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import parse_models
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack import compose
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.compose import StackOptions

GIB = 1024**3
OPTIONS = StackOptions(
    project="gpuserve",
    image="vllm/vllm-openai@sha256:4711",
    device="cuda",
    cache_dir="/var/lib/gpuserve/cache",
    network="bridge",
)
# The first 12 digits of the image's SHA-256.
IMAGE = "c3df3e955ceb"
MODEL = {"name": "qwen", "model": "Qwen/Qwen2.5-3B-Instruct", "port": 8002, "aliases": ["gpt"]}


def planned(**change: Any) -> dict[str, Any]:
    """A plan of that one model."""
    model = {
        "name": "qwen",
        "engine_args": ["--max-model-len", "1536"],
        "env": {"VLLM_X": "1"},
        "gpu_uuids": ["GPU-abc"],
        "tensor_parallel_size": 1,
        "weights_bytes": 6 * GIB,
        "total_bytes": 8 * GIB,
        "max_num_seqs": 24,
        "max_model_len": 1536,
        **change,
    }
    return {"gpus": [{"uuid": model["gpu_uuids"][0], "models": [model]}]}


def rendered(plan: dict[str, Any], options: StackOptions = OPTIONS, **change: Any) -> dict[str, Any]:
    stack = compose.render(parse_models([{**MODEL, **change}]), plan, options)
    service: dict[str, Any] = stack["services"]["qwen"]
    return service


def bind(source: str, target: str, **more: Any) -> dict[str, Any]:
    return {"type": "bind", "source": source, "target": target, **more, "bind": {"create_host_path": False}}


def ask(port: int) -> list[str]:
    return [
        "CMD",
        "python3",
        "-c",
        f"import http.client as c; h = c.HTTPConnection('127.0.0.1', {port}, timeout=5); h.request('GET', '/health'); "
        "raise SystemExit(h.getresponse().status != 200)",
    ]


BRIDGE: dict[str, Any] = {
    "image": "vllm/vllm-openai@sha256:4711",
    "container_name": "vllm-qwen",
    "init": True,
    "restart": "no",
    "command": [
        "Qwen/Qwen2.5-3B-Instruct",
        *("--served-model-name", "qwen", "gpt"),
        *("--port", "8000"),
        *("--max-model-len", "1536"),
    ],
    "environment": {
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0",
        "VLLM_MAX_N_SEQUENCES": "128",
        "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
        "VLLM_X": "1",
        "HF_MODULES_CACHE": "/root/.cache/vllm/modules",
    },
    "volumes": [
        bind(f"/var/lib/gpuserve/cache/vllm/qwen-{IMAGE}", "/root/.cache/vllm"),
        bind("/var/lib/gpuserve/cache/huggingface", "/root/.cache/huggingface"),
    ],
    "networks": ["qwen"],
    "ports": ["127.0.0.1:8002:8000"],
    "shm_size": "1gb",
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "pids_limit": 8192,
    # 6 GiB of weights, and 8 for each of two processes.
    "mem_limit": "22g",
    "stop_grace_period": "30s",
    "healthcheck": {"test": ask(8000), "interval": "30s", "timeout": "10s", "retries": 3, "start_period": "2h"},
    "logging": {"driver": "json-file", "options": {"max-size": "50m", "max-file": "3"}},
    "deploy": {
        "resources": {
            "reservations": {
                "devices": [{"driver": "cdi", "device_ids": ["nvidia.com/gpu=GPU-abc"], "capabilities": ["gpu"]}]
            }
        }
    },
    "labels": {
        "fleet.gpuserve.stack": "gpuserve",
        "fleet.gpuserve.model": "qwen",
        "fleet.gpuserve.port": "8002",
        "fleet.gpuserve.planned_bytes": str(8 * GIB),
    },
}


def without(service: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in service.items() if key not in keys}


def same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Compare, with what is asked for in words of its own elsewhere left out: the digest."""
    digest = found["labels"].pop("fleet.gpuserve.digest")
    assert len(digest) == 16
    assert found == wanted
    assert list(found)[-1] == "labels"


def test_on_a_bridge() -> None:
    same(rendered(planned()), BRIDGE)


def test_on_the_host_s_network() -> None:
    wanted = {
        **without(BRIDGE, "networks", "ports"),
        "network_mode": "host",
        "command": [
            "Qwen/Qwen2.5-3B-Instruct",
            *("--served-model-name", "qwen", "gpt"),
            *("--host", "127.0.0.1", "--port", "8002"),
            *("--max-model-len", "1536"),
        ],
        "healthcheck": {**BRIDGE["healthcheck"], "test": ask(8002)},
    }
    same(rendered(planned(), replace(OPTIONS, network="host")), wanted)


def test_on_a_cpu() -> None:
    found = rendered(planned(gpu_uuids=["cpu"]), replace(OPTIONS, device="cpu"))
    # What the planner counts is the host's own memory there.
    same(found, {**without(BRIDGE, "deploy"), "mem_limit": "30g"})


def test_over_two_ranks() -> None:
    found = rendered(planned(gpu_uuids=["GPU-abc", "catalogue-1"], tensor_parallel_size=2))
    names = ["nvidia.com/gpu=GPU-abc", "nvidia.com/gpu=1"]
    devices = [{"driver": "cdi", "device_ids": names, "capabilities": ["gpu"]}]
    wanted = {
        **BRIDGE,
        "environment": without(BRIDGE["environment"], "PYTORCH_CUDA_ALLOC_CONF"),
        "shm_size": "8gb",
        "mem_limit": "36g",
        "deploy": {"resources": {"reservations": {"devices": devices}}},
    }
    same(found, wanted)


def test_with_a_folder_adapters_secrets_and_more_volumes() -> None:
    options = replace(OPTIONS, api_key="k" * 20, extra_volumes=("/srv/x:/x",), stop_grace_s=45, entrypoint=("serve",))
    adapters = [{"name": "sql", "path": "/srv/sql"}, {"name": "hub", "path": "o/adapter"}]
    found = rendered(planned(), options, model="/srv/qwen", lora_adapters=adapters, env={"NOTE": "1"})
    digest = found["labels"]["fleet.gpuserve.digest"]
    wanted = {
        **BRIDGE,
        "command": ["/srv/qwen", *BRIDGE["command"][1:]],
        "environment": {
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0",
            "VLLM_MAX_N_SEQUENCES": "128",
            "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
            "VLLM_X": "1",
            "HF_HUB_OFFLINE": "1",
            "HF_MODULES_CACHE": "/root/.cache/vllm/modules",
        },
        "volumes": [
            BRIDGE["volumes"][0],
            bind("/srv/qwen", "/srv/qwen", read_only=True),
            bind("/srv/sql", "/srv/sql", read_only=True),
            bind("/srv/x", "/x"),
            bind(f"./env/qwen-{digest}.env", "/run/gpuserve/env", read_only=True),
        ],
        "entrypoint": ["/bin/sh", "-c", 'set -a; . /run/gpuserve/env; exec "$0" "$@"', "serve"],
        "stop_grace_period": "45s",
    }
    same(found, wanted)


def test_the_stack_around_it() -> None:
    stack = compose.render(parse_models([MODEL]), planned(), OPTIONS)
    assert {key: value for key, value in stack.items() if key != "services"} == {
        "name": "gpuserve",
        "networks": {"qwen": {"driver": "bridge"}},
    }
    on_host = compose.render(parse_models([MODEL]), planned(), replace(OPTIONS, network="host"))
    assert list(on_host) == ["name", "services"]


def test_what_is_handed_on_of_it() -> None:
    specs = parse_models([{**MODEL, "lora_adapters": [{"name": "sql", "path": "o/a"}]}])
    for network in ("bridge", "host"):
        options = replace(OPTIONS, network=network, surge_offset=1000)
        stack = compose.render(specs, planned(), options)
        assert compose.services(stack) == [
            {
                "name": "qwen",
                "container": "vllm-qwen",
                "image": OPTIONS.image,
                "port": 8002,
                "digest": stack["services"]["qwen"]["labels"]["fleet.gpuserve.digest"],
                "network": network,
            }
        ]
        standby = {"standby": ["127.0.0.1:9002"]} if network == "bridge" else {}
        assert compose.endpoints(specs, planned(), options) == [
            {
                "name": "qwen",
                "aliases": ["gpt"],
                "adapters": ["sql"],
                "endpoints": ["127.0.0.1:8002"],
                **standby,
                "listener_uid": 0,
                "max_num_seqs": 24,
                "max_model_len": 1536,
                "task": "generate",
            }
        ]
    assert "standby" not in compose.endpoints(specs, planned(), OPTIONS)[0]


@pytest.mark.parametrize(
    ("change", "limit"),
    [
        ({"weights_bytes": 6 * GIB + 1}, "23g"),
        ({"weights_bytes": 0}, "16g"),
        ({"engine_args": ["--cpu-offload-gb", "40"]}, None),
        ({"engine_args": ["--swap-space", "40"]}, None),
        ({"engine_args": ["--kv-transfer-config", "{}"]}, None),
        ({"engine_args": ["--x", "offload"]}, "22g"),
    ],
)
def test_an_engine_that_is_told_to_use_the_host_s_memory_is_not_bounded(
    change: dict[str, Any], limit: str | None
) -> None:
    assert rendered(planned(**change)).get("mem_limit") == limit
    if limit is None:
        assert "mem_limit" not in rendered(planned(), extra_args=change["engine_args"])


def digest(plan: dict[str, Any] | None = None, options: StackOptions = OPTIONS, **change: Any) -> str:
    found: str = rendered(plan or planned(), options, **change)["labels"]["fleet.gpuserve.digest"]
    return found


@pytest.mark.parametrize(
    "plan", [planned(total_bytes=9 * GIB), planned(weights_bytes=9 * GIB), planned(max_num_seqs=5)], ids=str
)
def test_what_the_plan_expects_replaces_no_engine(plan: dict[str, Any]) -> None:
    assert digest(plan) == digest()


def test_everything_else_does() -> None:
    found = {
        digest(),
        digest(planned(engine_args=[])),
        digest(planned(env={})),
        digest(planned(gpu_uuids=["GPU-x"])),
        digest(planned(tensor_parallel_size=2)),
        digest(port=8003),
        digest(aliases=[]),
        digest(model="o/m"),
        digest(env={"A": "1"}),
        digest(env={"A": "2"}),
        digest(env={"B": "1"}),
        *(
            digest(options=replace(OPTIONS, **change))
            for change in (
                {"image": "other"},
                {"network": "host"},
                {"cache_dir": "/x"},
                {"extra_volumes": ("/a:/a",)},
                {"hf_token": "a"},
                {"hf_token": "b"},
                {"api_key": "a"},
                {"stop_grace_s": 5},
            )
        ),
    }
    assert len(found) == 19


def test_the_same_is_the_same_on_every_python() -> None:
    # A change of how it is counted replaces every engine of every host once: it has to be meant, and said in the changelog.
    assert digest() == "be4caadeae35d5fb"


def test_secret_files_bear_their_engine_s_digest() -> None:
    specs = parse_models([{**MODEL, "env": {"NOTE": "it's", "VLLM_X": "2"}}])
    options = replace(OPTIONS, hf_token="hf_" + "t" * 20, api_key="k" * 20)
    stack = compose.render(specs, planned(), options)
    name = f"env/qwen-{stack['services']['qwen']['labels']['fleet.gpuserve.digest']}.env"
    text = f"HF_TOKEN=hf_{'t' * 20}\nNOTE='it'\"'\"'s'\nVLLM_API_KEY={'k' * 20}\nVLLM_X=2\n"
    assert compose.secret_files(specs, stack, options) == {name: text}
    bare = compose.render(parse_models([MODEL]), planned(), OPTIONS)
    assert compose.secret_files(parse_models([MODEL]), bare, OPTIONS) == {}


def test_folders_that_engines_write_to() -> None:
    inside = f"{OPTIONS.cache_dir}/mine"
    stack = compose.render(parse_models([{**MODEL, "model": inside}]), planned(), OPTIONS)
    assert compose.cache_folders(stack, OPTIONS.cache_dir) == [f"{OPTIONS.cache_dir}/vllm/qwen-{IMAGE}"]
    hub = compose.render(parse_models([MODEL]), planned(), replace(OPTIONS, extra_volumes=(f"{inside}:/x",)))
    assert compose.cache_folders(hub, OPTIONS.cache_dir) == [
        f"{OPTIONS.cache_dir}/huggingface",
        f"{OPTIONS.cache_dir}/vllm/qwen-{IMAGE}",
    ]


def test_a_container_and_its_model() -> None:
    assert compose.container_name("qwen") == "vllm-qwen"
    assert compose.model_of("vllm-qwen") == "qwen"
    assert (OPTIONS.entrypoint, OPTIONS.surge_offset, OPTIONS.stop_grace_s) == (("vllm", "serve"), 0, 30)


@pytest.mark.parametrize(
    ("args", "segments"),
    [
        (["--enable-sleep-mode"], None),
        (["--enable_sleep_mode"], None),
        (["--no-enable-sleep-mode"], "expandable_segments:True"),
    ],
)
def test_an_engine_that_can_sleep_is_not_given_what_it_refuses(args: list[str], segments: str | None) -> None:
    """vLLM ends at once where both are asked for, and one of them would be our own doing."""
    assert rendered(planned(engine_args=args))["environment"].get("PYTORCH_CUDA_ALLOC_CONF") == segments
