# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Compose stack as plain data: one service a model, in a stable order, with a digest that says when one has changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import CPU_UUID
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import ModelSpec

LABEL = "fleet.gpuserve"
# Inside its container every engine listens here; outside, on its own port.
ENGINE_PORT = 8000
# Where an engine finds its secrets. Variables that Compose or Docker set would stand in `docker inspect`; these only the engine's own
# process has.
SECRETS_FILE = "/run/gpuserve/env"
HUB_CACHE = "/root/.cache/huggingface"
ENGINE_CACHE = "/root/.cache/vllm"


@dataclass(frozen=True)
class StackOptions:
    """What holds for every service of a stack."""

    project: str
    image: str
    device: str
    cache_dir: str
    network: str
    extra_volumes: tuple[str, ...] = ()
    hf_token: str = ""
    api_key: str = ""
    surge_offset: int = 0
    entrypoint: tuple[str, ...] = ("vllm", "serve")


def container_name(model: str) -> str:
    """The container of a model."""
    return f"vllm-{model}"


def model_of(container: str) -> str:
    """The model of a container, by its name."""
    return container.removeprefix("vllm-")


def env_file(model: str) -> str:
    """Where a model's secrets are, below the project's folder."""
    return f"env/{model}.env"


def secrets(options: StackOptions) -> dict[str, str]:
    """What goes into the env file and nowhere else: variables of the engine's process."""
    found = {"HF_TOKEN": options.hf_token, "VLLM_API_KEY": options.api_key}
    return {name: value for name, value in found.items() if value}


def render(specs: Sequence[ModelSpec], plan: Mapping[str, Any], options: StackOptions) -> dict[str, Any]:
    """The whole compose file. Keys stand in the order in which a person reads them."""
    planned = {model["name"]: model for gpu in plan["gpus"] for model in gpu["models"]}
    stack: dict[str, Any] = {
        "name": options.project,
        "services": {spec.name: _service(spec, planned[spec.name], options) for spec in specs},
    }
    if options.network == "bridge":
        stack["networks"] = {"engines": {"driver": "bridge"}}
    return stack


def services(stack: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a bring-up needs to know of each service."""
    return [
        {
            "name": name,
            "container": service["container_name"],
            "image": service["image"],
            "port": int(service["labels"][f"{LABEL}.port"]),
            "digest": service["labels"][f"{LABEL}.digest"],
            "network": service.get("network_mode", "bridge"),
        }
        for name, service in stack["services"].items()
    ]


def endpoints(specs: Sequence[ModelSpec], plan: Mapping[str, Any], options: StackOptions) -> list[dict[str, Any]]:
    """What a door in front of the engines needs to know of each; `standby` is where a stand-in answers during a replacement."""
    standby = options.surge_offset if options.network == "bridge" else 0
    planned = {model["name"]: model for gpu in plan["gpus"] for model in gpu["models"]}
    return [
        {
            "name": spec.name,
            "aliases": list(spec.aliases),
            "adapters": [adapter["name"] for adapter in spec.lora_adapters],
            "endpoints": [f"127.0.0.1:{spec.port}"],
            **({"standby": [f"127.0.0.1:{spec.port + standby}"]} if standby else {}),
            "max_num_seqs": planned[spec.name]["max_num_seqs"],
            "max_model_len": planned[spec.name]["max_model_len"],
        }
        for spec in specs
    ]


def _service(spec: ModelSpec, model: Mapping[str, Any], options: StackOptions) -> dict[str, Any]:
    service: dict[str, Any] = {
        "image": options.image,
        "container_name": container_name(spec.name),
        # A start is never repeated behind our back; the policy for reboots is set once the engine has proved itself.
        "restart": "no",
        "command": _command(spec, model, options),
        "environment": _environment(spec, model),
    }
    service["volumes"] = _volumes(spec, options)
    if secrets(options):
        # The image's own entrypoint goes on with the variables in its environment.
        script = f'set -a; . {SECRETS_FILE}; exec "$0" "$@"'
        service["entrypoint"] = ["/bin/sh", "-c", script, *options.entrypoint]
        service["volumes"].append(f"./{env_file(spec.name)}:{SECRETS_FILE}:ro")
    if options.network == "host":
        service["network_mode"] = "host"
    else:
        service["networks"] = ["engines"]
        service["ports"] = [f"127.0.0.1:{spec.port}:{ENGINE_PORT}"]
    service["shm_size"] = "1gb" if model["tensor_parallel_size"] == 1 else "8gb"
    service["cap_drop"] = ["ALL"]
    service["security_opt"] = ["no-new-privileges:true"]
    service["stop_grace_period"] = "60s"
    if options.device == "cuda":
        service["deploy"] = {"resources": {"reservations": {"devices": [_cards(model["gpu_uuids"])]}}}
    service["labels"] = {
        f"{LABEL}.stack": options.project,
        f"{LABEL}.model": spec.name,
        f"{LABEL}.port": str(spec.port),
        f"{LABEL}.planned_bytes": str(model["total_bytes"]),
    }
    service["labels"][f"{LABEL}.digest"] = digest(service, secrets(options))
    return service


def digest(service: Mapping[str, Any], hidden: Mapping[str, str]) -> str:
    """Changes when anything does that a running engine would have to be replaced for.

    Secrets count by their hash, so that a new token restarts an engine and no token can be read from a label. What the plan
    expects an engine to hold is not part of it: learning from a measurement replaces nothing.
    """
    counted = {key: value for key, value in service.items() if key != "labels"}
    counted["secrets"] = {key: hashlib.sha256(value.encode()).hexdigest() for key, value in hidden.items()}
    return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()[:16]


def _command(spec: ModelSpec, model: Mapping[str, Any], options: StackOptions) -> list[str]:
    # The image's entrypoint is `vllm serve`.
    names = [spec.name, *spec.aliases]
    host = (
        ["--host", "127.0.0.1", "--port", str(spec.port)] if options.network == "host" else ["--port", str(ENGINE_PORT)]
    )
    return [spec.model, "--served-model-name", *names, *host, *model["engine_args"]]


def _environment(spec: ModelSpec, model: Mapping[str, Any]) -> dict[str, str]:
    found = {"VLLM_NO_USAGE_STATS": "1"}
    if model["tensor_parallel_size"] == 1:
        # Ranks hand each other the buffers of their graphs by cudaIpcGetMemHandle, which refuses expandable segments (vLLM issue 42609).
        found["PYTORCH_CUDA_ALLOC_CONF"] = "expandable_segments:True"
    found.update(model["env"])
    if spec.is_local:
        found["HF_HUB_OFFLINE"] = "1"
    return {**found, **spec.env}


def _volumes(spec: ModelSpec, options: StackOptions) -> list[str]:
    found = [f"{options.cache_dir}/vllm:{ENGINE_CACHE}"]
    if spec.is_local:
        found.append(f"{spec.model}:{spec.model}:ro")
    else:
        found.append(f"{options.cache_dir}/huggingface:{HUB_CACHE}")
    found += [
        f"{adapter['path']}:{adapter['path']}:ro" for adapter in spec.lora_adapters if adapter["path"].startswith("/")
    ]
    return [*found, *options.extra_volumes]


def _cards(uuids: Sequence[str]) -> dict[str, Any]:
    # A card known only by the catalogue has no UUID yet; its place in the host is what CDI names then.
    names = [uuid.removeprefix("catalogue-") for uuid in uuids if uuid != CPU_UUID]
    return {"driver": "cdi", "device_ids": [f"nvidia.com/gpu={name}" for name in names], "capabilities": ["gpu"]}
