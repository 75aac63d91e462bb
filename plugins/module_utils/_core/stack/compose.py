# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Compose stack as plain data: one service a model, in a stable order, with a digest that says when one has changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import sockets
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine.vllm import SAFE_ENVIRONMENT
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import CPU_UUID
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import SURGE_SUFFIX, ModelSpec
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack import containers, group, secrets
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.volumes import bind, long_form
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.yaml_text import Interpolated
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB

LABEL = containers.LABEL
# Which place an engine has among those of several hosts, such as 0/2; on engines of one host there is no such label.
GROUP = f"{LABEL}.group"
# Where they find together: the same for all engines of a group.
MEETS = f"{LABEL}.meets"
SOCKET, TCP = "socket", "tcp"
# Inside its container every engine listens here; outside, on its own port, or in a folder of its own.
ENGINE_PORT = 8000
ENGINE_SOCKETS = "/run/gpuserve/engine"
ENGINE_SOCKET = f"{ENGINE_SOCKETS}/http"
# What Compose is told when it makes a surge instance, which has a folder of its own.
SURGE_VARIABLE = "GPUSERVE_SURGE"
# Where an engine finds its secrets. Variables that Compose or Docker set would stand in `docker inspect`; these only the engine's own
# process has.
SECRETS_FILE = "/run/gpuserve/env"
HUB_CACHE = "/root/.cache/huggingface"
ENGINE_CACHE = "/root/.cache/vllm"
# What a start compiles with threads of its own on many cores, and more than a fork bomb gets.
PIDS_LIMIT = 8192
# An engine's own log, beside what the daemon is told: three files of this size at most.
LOG_SIZE, LOG_FILES = "50m", "3"
# A process of an engine takes 1.5 GiB of the host's memory and 1 GiB of tensors on their way; several times that is a leak.
PROCESS_LIMIT_BYTES = 8 * GIB
# Flags by which an engine keeps more than that in the host's memory, as much as it is told.
_HOST_MEMORY_FLAGS = ("offload", "swap", "kv-transfer")
# Not part of the digest: what is learnt of an engine's size replaces nothing that runs.
_UNCOUNTED = ("labels", "mem_limit")


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
    stop_grace_s: int = 30
    entrypoint: tuple[str, ...] = ("vllm", "serve")
    offline: frozenset[str] = frozenset()
    hub_endpoint: str = ""
    transport: str = TCP
    # Whether a gateway is told of the sockets, too, to which engines may move.
    moves: bool = False
    # The interface of each address of this host at which other hosts of a group reach it.
    interfaces: Mapping[str, str] = field(default_factory=dict)


def container_name(model: str) -> str:
    """The container of a model."""
    return f"vllm-{model}"


def model_of(container: str) -> str:
    """The model of a container, by its name."""
    return container.removeprefix("vllm-")


def instance_of(container: str) -> str:
    """What the folder of a container's socket is called: a surge instance's is another than its model's."""
    return model_of(container)


def secret_files(specs: Sequence[ModelSpec], stack: Mapping[str, Any], options: StackOptions) -> dict[str, str]:
    """The text of each secret file of a rendered stack, by its path below the project's folder."""
    found = {}
    for spec in specs:
        hidden = secrets.of_model(spec, options.hf_token, options.api_key)
        if hidden:
            service = stack["services"][spec.name]
            found[secrets.file_name(spec.name, service["labels"][f"{LABEL}.digest"])] = secrets.render(hidden)
    return found


def cache_folders(stack: Mapping[str, Any], cache_dir: str) -> list[str]:
    """The folders of caches that the engines of a rendered stack write to."""
    return sorted(
        {
            volume["source"]
            for service in stack["services"].values()
            for volume in service["volumes"]
            if isinstance(volume, dict)
            and volume["target"] in (ENGINE_CACHE, HUB_CACHE)
            and not volume.get("read_only")
        }
    )


def render(specs: Sequence[ModelSpec], plan: Mapping[str, Any], options: StackOptions) -> dict[str, Any]:
    """The whole compose file. Keys stand in the order in which a person reads them."""
    planned = {model["name"]: model for gpu in plan["gpus"] for model in gpu["models"]}
    stack: dict[str, Any] = {
        "name": options.project,
        "services": {spec.name: _service(spec, planned[spec.name], options) for spec in specs},
    }
    networks = [network for service in stack["services"].values() for network in service.get("networks", [])]
    if networks:
        stack["networks"] = {network: {"driver": "bridge"} for network in dict.fromkeys(networks)}
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
            **({"socket": sockets.path(name)} if f"{LABEL}.transport" in service["labels"] else {}),
            **(
                {"group": service["labels"][GROUP], "meets": service["labels"][MEETS]}
                if GROUP in service["labels"]
                else {}
            ),
        }
        for name, service in stack["services"].items()
    ]


def endpoints(specs: Sequence[ModelSpec], plan: Mapping[str, Any], options: StackOptions) -> list[dict[str, Any]]:
    """What a gateway in front of the engines needs to know of each; `standby` is where a surge instance answers during a replacement."""
    planned = {model["name"]: model for gpu in plan["gpus"] for model in gpu["models"]}
    return [
        {
            "name": spec.name,
            "aliases": list(spec.aliases),
            "adapters": [adapter["name"] for adapter in spec.lora_adapters],
            **_meeting_points(spec, options),
            "max_num_seqs": planned[spec.name]["max_num_seqs"],
            "max_model_len": planned[spec.name]["max_model_len"],
            "task": planned[spec.name].get("task") or "generate",
        }
        for spec in specs
        # The first host of a group answers for all.
        if not group.is_headless(spec)
    ]


def is_headless(labels: Mapping[str, str]) -> bool:
    """Whether a container with these labels is one of several hosts' that has no API."""
    return labels.get(GROUP, "0/").partition("/")[0] != "0"


def _meeting_points(spec: ModelSpec, options: StackOptions) -> dict[str, Any]:
    surge = 0 if _on_host_network(spec, options) else options.surge_offset
    return meeting_points(spec.name, spec.port, options.transport, surge, options.moves)


def meeting_points(name: str, port: int, transport: str, surge_offset: int, moves: bool) -> dict[str, Any]:
    """Where a gateway meets a model's engine: `standby` is where its surge instance answers, and the sockets that it `moves` to."""
    on_sockets = [sockets.endpoint(name), sockets.endpoint(name + SURGE_SUFFIX)]
    if transport == SOCKET:
        return {"endpoints": on_sockets[:1], "standby": on_sockets[1:], "address": f"127.0.0.1:{port}"}
    standby = [f"127.0.0.1:{port + surge_offset}"] if surge_offset else []
    standby += on_sockets if moves else []
    # Docker's proxy, and an engine on the host's network, are root's: who else listens there is no engine.
    return {"endpoints": [f"127.0.0.1:{port}"], **({"standby": standby} if standby else {}), "listener_uid": 0}


def _service(spec: ModelSpec, model: Mapping[str, Any], options: StackOptions) -> dict[str, Any]:
    service: dict[str, Any] = {
        "image": options.image,
        "container_name": container_name(spec.name),
        # Reaps what an engine's workers leave behind, and passes signals on.
        "init": True,
        # A start is never repeated behind our back; the policy for reboots is set once the engine has proved itself.
        "restart": "no",
        "command": _command(spec, model, options),
        "environment": _environment(spec, model, options),
        "volumes": _volumes(spec, options),
    }
    hidden = secrets.of_model(spec, options.hf_token, options.api_key)
    if before := _before_the_engine(_has_socket(spec, options), bool(hidden)):
        # The image's own entrypoint goes on with the variables in its environment.
        service["entrypoint"] = ["/bin/sh", "-c", f'{before}exec "$0" "$@"', *options.entrypoint]
    service.update(_network(spec, options))
    service["shm_size"] = "8gb" if group.has_ranks(spec, model) else "1gb"
    service["cap_drop"] = ["ALL"]
    service["security_opt"] = ["no-new-privileges:true"]
    service["pids_limit"] = PIDS_LIMIT
    if limit := _mem_limit(spec, model, options):
        service["mem_limit"] = limit
    service["stop_grace_period"] = f"{options.stop_grace_s}s"
    service["healthcheck"] = {"disable": True} if group.is_headless(spec) else _healthcheck(spec, options)
    service["logging"] = {"driver": "json-file", "options": {"max-size": LOG_SIZE, "max-file": LOG_FILES}}
    if options.device == "cuda":
        service["deploy"] = {"resources": {"reservations": {"devices": [_gpus(model["gpu_uuids"])]}}}
    service["labels"] = {
        f"{LABEL}.stack": options.project,
        f"{LABEL}.model": spec.name,
        f"{LABEL}.port": str(spec.port),
        f"{LABEL}.planned_bytes": str(model["total_bytes"]),
        **({f"{LABEL}.transport": SOCKET} if _has_socket(spec, options) else {}),
        **({GROUP: place, MEETS: group.meeting_point(spec)} if (place := group.place(spec)) else {}),
    }
    found = digest(service, hidden)
    service["labels"][f"{LABEL}.digest"] = found
    if hidden:
        service["volumes"].append(bind(f"./{secrets.file_name(spec.name, found)}", SECRETS_FILE, read_only=True))
    return service


def _has_socket(spec: ModelSpec, options: StackOptions) -> bool:
    return options.transport == SOCKET and not group.is_headless(spec)


def _on_host_network(spec: ModelSpec, options: StackOptions) -> bool:
    """Whether an engine is in the host's own network; those of several hosts are, whatever holds for others."""
    return options.network == "host" or spec.distributed is not None


def _before_the_engine(has_socket: bool, has_secrets: bool) -> str:
    """What a shell does before it becomes the engine."""
    steps = ""
    if has_socket:
        # What a run before left is in the way of a bind. The gateway is another user, and the engine makes its socket for its own alone:
        # who gets through to the folder at all is told by the folder above it.
        opens = f"until chmod 0666 {ENGINE_SOCKET} 2>/dev/null; do sleep 0.2; done"
        steps += f"rm -f {ENGINE_SOCKET}; ( ( {opens} ) & ); "
    return steps + (f"set -a; . {SECRETS_FILE}; " if has_secrets else "")


def _network(spec: ModelSpec, options: StackOptions) -> dict[str, Any]:
    """Engines do not meet: each has a network of its own, or none where it needs none."""
    if options.transport == SOCKET and _stays_in(spec, options):
        return {"network_mode": "none"}
    if _on_host_network(spec, options):
        return {"network_mode": "host"}
    ports = {} if options.transport == SOCKET else {"ports": [f"127.0.0.1:{spec.port}:{ENGINE_PORT}"]}
    return {"networks": [spec.name], **ports}


def _stays_in(spec: ModelSpec, options: StackOptions) -> bool:
    """Whether all that an engine reads is on the host, and nobody wants it to reach further."""
    reads_nothing = spec.is_local or spec.name in options.offline
    return reads_nothing and not spec.allow_network and spec.distributed is None


def digest(service: Mapping[str, Any], hidden: Mapping[str, str]) -> str:
    """Changes when anything does that a running engine would have to be replaced for.

    Secrets count by their hash, so that a new token restarts an engine and no token can be read from a label. What the plan
    expects an engine to hold is not part of it: learning from a measurement replaces nothing.
    """
    counted = {key: value for key, value in service.items() if key not in _UNCOUNTED}
    counted["secrets"] = {key: hashlib.sha256(value.encode()).hexdigest() for key, value in hidden.items()}
    return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()[:16]


def _command(spec: ModelSpec, model: Mapping[str, Any], options: StackOptions) -> list[str]:
    # The image's entrypoint is `vllm serve`.
    names = [spec.name, *spec.aliases]
    return [spec.model, "--served-model-name", *names, *_listens(spec, options), *model["engine_args"]]


def _listens(spec: ModelSpec, options: StackOptions) -> list[str]:
    if group.is_headless(spec):
        return []
    if options.transport == SOCKET:
        return ["--uds", ENGINE_SOCKET]
    return (
        ["--host", "127.0.0.1", "--port", str(spec.port)]
        if _on_host_network(spec, options)
        else ["--port", str(ENGINE_PORT)]
    )


def _environment(spec: ModelSpec, model: Mapping[str, Any], options: StackOptions) -> dict[str, str]:
    found = {"VLLM_NO_USAGE_STATS": "1", **SAFE_ENVIRONMENT}
    sleeps = any(arg.replace("_", "-") == "--enable-sleep-mode" for arg in model["engine_args"])
    if not group.has_ranks(spec, model) and not sleeps:
        # Ranks hand each other the buffers of their graphs by cudaIpcGetMemHandle, which refuses expandable segments (vLLM issue 42609);
        # so does the memory pool that an engine puts to sleep (PyTorch issue 147851).
        found["PYTORCH_CUDA_ALLOC_CONF"] = "expandable_segments:True"
    found.update(model["env"])
    if spec.is_local or spec.name in options.offline:
        found["HF_HUB_OFFLINE"] = "1"
    elif options.hub_endpoint:
        found["HF_ENDPOINT"] = options.hub_endpoint
    if options.transport == SOCKET and _stays_in(spec, options):
        # With no address but loopback's, that is where an engine's own processes meet.
        found |= {"VLLM_HOST_IP": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
    found |= group.environment(spec, options.interfaces)
    # Code that a model brings is nobody else's: it lies beside what was compiled for it.
    found["HF_MODULES_CACHE"] = f"{ENGINE_CACHE}/modules"
    return found


def _volumes(spec: ModelSpec, options: StackOptions) -> list[Any]:
    # What one engine compiled is code that another would run: a folder a model and image.
    image = hashlib.sha256(options.image.encode()).hexdigest()[:12]
    found = [bind(f"{options.cache_dir}/vllm/{spec.name}-{image}", ENGINE_CACHE)]
    if _has_socket(spec, options):
        own = Interpolated(f"{sockets.folder(spec.name)}${{{SURGE_VARIABLE}-}}")
        found.append(bind(own, ENGINE_SOCKETS))
    if spec.is_local:
        found.append(bind(spec.model, spec.model, read_only=True))
    else:
        # Fetched by a step of its own, weights are another engine's too: none of them writes there.
        found.append(bind(f"{options.cache_dir}/huggingface", HUB_CACHE, read_only=spec.name in options.offline))
    paths = [str(adapter["path"]) for adapter in spec.lora_adapters]
    found += [bind(path, path, read_only=True) for path in paths if path.startswith("/")]
    return [*found, *(long_form(one) for one in options.extra_volumes)]


def _healthcheck(spec: ModelSpec, options: StackOptions) -> dict[str, Any]:
    """What `docker ps` says of an engine. Nothing of ours decides by it: a bring-up asks for a token."""
    port = spec.port if _on_host_network(spec, options) else ENGINE_PORT
    to_socket = (
        f"import socket as s; h.sock = s.socket(s.AF_UNIX); h.sock.settimeout(5); h.sock.connect('{ENGINE_SOCKET}'); "
    )
    # Not by what knows of proxies: an image may name one for everything.
    ask = (
        f"import http.client as c; h = c.HTTPConnection('127.0.0.1', {port}, timeout=5); "
        f"{to_socket if options.transport == SOCKET else ''}"
        "h.request('GET', '/health'); raise SystemExit(h.getresponse().status != 200)"
    )
    return {
        "test": ["CMD", "python3", "-c", ask],
        "interval": "30s",
        "timeout": "10s",
        "retries": 3,
        # Until the first answer only: a start may take as long as the bring-up lets it.
        "start_period": "2h",
    }


def _mem_limit(spec: ModelSpec, model: Mapping[str, Any], options: StackOptions) -> str:
    """The host's memory that an engine never needs; empty where it was told to keep there what it likes."""
    told = [*spec.extra_args, *model["engine_args"]]
    if any(word in arg for arg in told if arg.startswith("-") for word in _HOST_MEMORY_FLAGS):
        return ""
    ranks = int(model["tensor_parallel_size"])
    # Weights are mapped from their files or read whole, once a rank.
    need = int(model["weights_bytes"]) * ranks + (1 + ranks) * PROCESS_LIMIT_BYTES
    if options.device == "cpu":
        need += int(model["total_bytes"]) * ranks
    return f"{-(-need // GIB)}g"


def _gpus(uuids: Sequence[str]) -> dict[str, Any]:
    # A card known only by the catalogue has no UUID yet; its place in the host is what CDI names then.
    names = [uuid.removeprefix("catalogue-") for uuid in uuids if uuid != CPU_UUID]
    return {"driver": "cdi", "device_ids": [f"nvidia.com/gpu={name}" for name in names], "capabilities": ["gpu"]}
