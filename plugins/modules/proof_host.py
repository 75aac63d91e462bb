#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: proof_host
short_description: What playbooks/prove.yml does to a host, and what it reads there
version_added: 0.3.0
description:
  - Ends engines or the gateway, asks engines for tokens, reads what NVML shows for each, and keeps clients or a foreign process going
    while a playbook changes the host.
  - Touches containers with the stack's own label alone.
author:
  - gpuserve.fleet contributors (@gpuserve)
requirements:
  - Python 3.10 or newer
  - docker, the Python package
  - nvidia-ml-py
options:
  action:
    description:
      - V(down) removes the engines' containers, V(kill_engine) kills that
        of O(model), V(stop_gateway) stops the gateway, as somebody would by hand. V(probe) returns what O(probes) says.
      - V(clients) asks O(model) through the gateway, and V(foreign) starts O(command) as soon as an engine starts anew, so that half of
        what O(model) plans is left on its card, both until V(stop) is called; those are for tasks with C(async).
    type: str
    choices: [down, kill_engine, stop_gateway, probe, clients, foreign, stop]
    required: true
  probes:
    description:
      - V(facts) are the card, versions and images, V(held) is what each engine holds by NVML, V(rates) are tokens a second with what each
        holds then, V(saturated) is what each holds after the most that it takes at once, V(first_tokens) is how soon the first token comes
        with and without the gateway, V(answers) are answers to O(question), V(left) is what of the stack is on the host.
    type: list
    elements: str
    choices: [facts, held, answers, rates, saturated, first_tokens, left]
    default: []
  model:
    description: The model that is killed, asked, or left without memory.
    type: str
    default: ""
  models:
    description: The models that are asked O(question); the others have no weights that could answer.
    type: list
    elements: str
    default: []
  question:
    description: What they are asked.
    type: str
    default: What is the capital of France?
  command:
    description: A command that holds memory of a card; C({bytes}) in it is replaced by how much, C({gpu}) by the card's index.
    type: list
    elements: str
    default: []
  stop_file:
    description: What tells clients and the foreign process that it is over.
    type: path
    default: /run/gpuserve-proof.stop
  gateway_url:
    description: Where the host itself reaches the gateway.
    type: str
    default: ""
  gateway_key:
    description: A key that may use the models.
    type: str
    default: ""
  api_key:
    description: The key of the engines; without it the one that the host made.
    type: str
    default: ""
  project_name:
    description: The stack.
    type: str
    default: gpuserve
  project_dir:
    description: Where that stack's files are.
    type: path
    default: /opt/gpuserve/stack
  state_dir:
    description: Where its state is.
    type: path
    default: /var/lib/gpuserve
extends_documentation_fragment:
  - gpuserve.fleet.attributes.proves
"""

EXAMPLES = r"""
- name: Read what each engine holds
  gpuserve.fleet.proof_host:
    action: probe
    probes: [held]
"""

RETURN = r"""
outcome:
  description: What was read or came of it, by name.
  returned: always
  type: dict
  sample: {"held": {"qwen": 8592031744}}
"""

import os
import platform
from pathlib import Path
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.benchmark.client import engine_of
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.compose import LABEL
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import docker_socket
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.nvml import Nvml, NvmlError
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.proc import process_tree
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.proof import engines
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.proof.during import Clients, hold_until

SOCKET = "/var/run/docker.sock"
GATEWAY = "gpuserve-gateway"
# Where parts of ours are, besides the folders that variables name; the weights are the user's.
PLACES = (
    "/opt/gpuserve/gateway",
    "/opt/gpuserve/venv",
    "/run/gpuserve/engines",
    "/etc/systemd/system/gpuserve-stack.service",
)


class Host:
    """The host as one call sees it."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module, self.params = module, module.params

    # What is there

    def containers(self) -> list[dict[str, Any]]:
        """Return what Docker lists of this stack's containers and the gateway's, running or not."""
        listed = docker_socket.get(SOCKET, "/containers/json?all=1") or []
        ours = (self.params["project_name"], GATEWAY)
        return [entry for entry in listed if (entry.get("Labels") or {}).get(f"{LABEL}.stack") in ours]

    def running_engines(self) -> dict[str, dict[str, Any]]:
        """Return what Docker knows of each engine that runs, by its model."""
        found = {}
        for entry in self.containers():
            name = entry["Labels"].get(f"{LABEL}.model")
            if name and entry["State"] == "running" and not entry["Names"][0].endswith("-surge"):
                found[name] = docker_socket.get(SOCKET, f"/containers/{entry['Id']}/json") or {}
        return found

    def proved(self) -> dict[str, Any]:
        """Return the record of the set that serves."""
        record = HostFiles().mapping(f"{self.params['project_dir']}/proved/plan.json")
        if not record:
            fail("", "no set of engines was proved on this host.", "Run playbooks/site.yml.")
        return record

    def facts(self) -> dict[str, Any]:
        """Return what the figures are of."""
        version = docker_socket.get(SOCKET, "/version") or {}
        with Nvml() as nvml:
            gpus = nvml.gpus()
        return {
            "facts": {
                "card": ", ".join(gpu["name"] for gpu in gpus),
                "card_usable_mib": [round(gpu["memory_total_bytes"] / 2**20) for gpu in gpus],
                "driver": gpus[0]["driver_version"] if gpus else "",
                "cuda": gpus[0]["cuda_version"] if gpus else "",
                "docker": version.get("Version", ""),
                "kernel": platform.release(),
                "cores": os.cpu_count(),
                "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
                "image": next((found["Config"]["Image"] for found in self.running_engines().values()), ""),
                "gateway_image": next(
                    (entry["Image"] for entry in self.containers() if entry["Names"] == [f"/{GATEWAY}"]), ""
                ),
            }
        }

    def left(self) -> dict[str, Any]:
        """Return what of ours is on the host."""
        folders = (self.params["project_dir"], self.params["state_dir"] + "/state.json", *PLACES)
        return {
            "left": [
                *sorted(entry["Names"][0].lstrip("/") for entry in self.containers()),
                *(path for path in folders if os.path.lexists(path)),
            ]
        }

    # What is done

    def down(self) -> dict[str, Any]:
        """Remove the engines' containers; nothing else of the stack."""
        names = [entry["Names"][0].lstrip("/") for entry in self.containers() if entry["Labels"].get(f"{LABEL}.model")]
        if names:
            self._docker("rm", "--force", *names)
        return {"removed": names}

    def kill_engine(self) -> dict[str, Any]:
        """Kill the engine of a model."""
        found = self.running_engines()
        name = self.params["model"]
        if name not in found:
            fail("", f"no engine of {name} runs.", "Run playbooks/site.yml.")
        self._docker("kill", found[name]["Name"].lstrip("/"))
        return {"killed": name}

    def stop_gateway(self) -> dict[str, Any]:
        """Stop the gateway's container."""
        self._docker("stop", GATEWAY)
        return {"stopped": GATEWAY}

    def _docker(self, *arguments: str) -> None:
        status, _out, err = self.module.run_command([self.module.get_bin_path("docker", required=True), *arguments])
        if status != 0:
            fail("", f"docker {arguments[0]} failed: {err.strip()[-200:]}.", "See docker ps.")

    # What is read

    def probe(self) -> dict[str, Any]:
        """Return all that is asked for."""
        found: dict[str, Any] = {}
        for name in self.params["probes"]:
            found.update(getattr(self, name)())
        return found

    def held(self) -> dict[str, Any]:
        """Return bytes of each engine, what a container is of, and what is free of the cards."""
        with Nvml() as nvml:
            gpus = nvml.gpus()
        held = dict.fromkeys(self.running_engines(), 0)
        digests = {}
        for name, found in self.running_engines().items():
            tree = set(process_tree(int(found["State"]["Pid"])))
            held[name] = sum(
                process["used_bytes"] for gpu in gpus for process in gpu["processes"] if process["pid"] in tree
            )
            digests[name] = found["Config"]["Labels"].get(f"{LABEL}.digest", "")
        return {
            "held": held,
            "digests": digests,
            "free_mib": [round(gpu["memory_free_bytes"] / 2**20) for gpu in gpus],
        }

    def rates(self) -> dict[str, Any]:
        """Return tokens a second of each engine, and what each holds then."""
        rates = {engine.name: engine.rate() for engine in self.engines()}
        return {"rates": rates, "loaded": self.held()["held"]}

    def saturated(self) -> dict[str, Any]:
        """Return what each engine holds after the most that it takes at once."""
        asked = {engine.name: engine.saturate() for engine in self.engines()}
        return {"saturating": asked, "saturated": self.held()["held"]}

    def first_tokens(self) -> dict[str, Any]:
        """Return how soon the first token of each engine comes."""
        gateway = self.gateway() if self.params["gateway_url"] else None
        return {"first_tokens": {engine.name: engine.first_tokens(gateway) for engine in self.engines()}}

    def answers(self) -> dict[str, Any]:
        """Return what each model that has weights says to the question, through the gateway."""
        gateway, question = self.gateway(), self.params["question"]
        return {"answers": {name: engines.answer(gateway, name, question) for name in self.params["models"]}}

    def gateway(self) -> engines.Way:
        """Return the way of clients."""
        return engines.Way(self.params["gateway_url"], self.params["gateway_key"])

    def engines(self) -> list[engines.Engine]:
        """Return the engines of the set that serves which make tokens, each where it answers."""
        key = self.params["api_key"] or self._own_key()
        running = self.running_engines()
        found = []
        for entry in self.proved()["endpoints"]:
            if entry["name"] not in running or entry.get("task", "generate") not in ("", "generate", None):
                continue
            ways = [engines.Way(where, key) for where in entry["endpoints"]]
            way = next((way for way in ways if way.ask("/health")[0] == 200), None)
            if way is None:
                fail("", f"the engine of {entry['name']} does not answer.", "Run playbooks/diagnose.yml.")
            engine = engine_of(running[entry["name"]], LABEL)
            found.append(
                engines.Engine(
                    entry["name"],
                    way,
                    engine.max_model_len or 2048,
                    int(engine.value("--max-num-seqs") or 16),
                    int(engine.value("--max-num-batched-tokens") or 2048),
                )
            )
        return found

    def _own_key(self) -> str:
        try:
            return Path(self.params["state_dir"], "engine-key").read_text(encoding="utf-8").strip()
        except OSError:
            return ""

    # What goes on meanwhile

    def clients(self) -> dict[str, Any]:
        """Ask a model until it is over."""
        return {"clients": Clients(self.gateway(), self.params["model"]).ask_until(self._is_stopped)}

    def foreign(self) -> dict[str, Any]:
        """Hold so much of the card of a model, once an engine starts anew, that half of what the model plans is free there."""
        index, planned = self._place()
        before, held = self._running_ids(), {"bytes": 0}

        def command() -> list[str]:
            with Nvml() as nvml:
                free = nvml.gpus()[index]["memory_free_bytes"]
            held["bytes"] = max(0, free - planned // 2)
            size = str(held["bytes"])
            return [part.replace("{bytes}", size).replace("{gpu}", str(index)) for part in self.params["command"]]

        log = Path(self.params["stop_file"]).with_suffix(".log")
        told = hold_until(command, lambda: bool(self._running_ids() - before), self._is_stopped, log)
        said = log.read_text(errors="replace")[-300:] if log.exists() else ""
        log.unlink(missing_ok=True)
        return {"foreign": {**held, **told, "said": said}}

    def _place(self) -> tuple[int, int]:
        """Return the index of the card that the model lies on, and the bytes that it plans there."""
        for gpu in self.proved()["plan"]["gpus"]:
            for model in gpu["models"]:
                if model["name"] == self.params["model"]:
                    return int(gpu["index"]), int(model["total_bytes"])
        fail("", f"{self.params['model']} is not in the set that was proved.", "Run playbooks/site.yml.")

    def _running_ids(self) -> set[str]:
        """Return the containers of engines that run, surge instances too."""
        return {
            entry["Id"]
            for entry in self.containers()
            if entry["State"] == "running" and entry["Labels"].get(f"{LABEL}.model")
        }

    def stop(self) -> dict[str, Any]:
        """Say that it is over."""
        Path(self.params["stop_file"]).touch(mode=0o600)
        return {}

    def _is_stopped(self) -> bool:
        return os.path.exists(self.params["stop_file"])


def main() -> NoReturn:
    """Do what is asked for."""
    module = AnsibleModule(
        argument_spec={
            "action": {
                "type": "str",
                "choices": ["down", "kill_engine", "stop_gateway", "probe", "clients", "foreign", "stop"],
                "required": True,
            },
            "probes": {
                "type": "list",
                "elements": "str",
                "choices": ["facts", "held", "answers", "rates", "saturated", "first_tokens", "left"],
                "default": [],
            },
            "model": {"type": "str", "default": ""},
            "models": {"type": "list", "elements": "str", "default": []},
            "question": {"type": "str", "default": "What is the capital of France?"},
            "command": {"type": "list", "elements": "str", "default": []},
            "stop_file": {"type": "path", "default": "/run/gpuserve-proof.stop"},
            "gateway_url": {"type": "str", "default": ""},
            "gateway_key": {"type": "str", "default": "", "no_log": True},
            "api_key": {"type": "str", "default": "", "no_log": True},
            "project_name": {"type": "str", "default": "gpuserve"},
            "project_dir": {"type": "path", "default": "/opt/gpuserve/stack"},
            "state_dir": {"type": "path", "default": "/var/lib/gpuserve"},
        },
    )
    host, action = Host(module), module.params["action"]
    stop = Path(module.params["stop_file"])
    if action in ("clients", "foreign"):
        stop.unlink(missing_ok=True)
    try:
        outcome = getattr(host, action)()
        if action in ("clients", "foreign"):
            stop.unlink(missing_ok=True)
        module.exit_json(changed=action in ("down", "kill_engine", "stop_gateway"), outcome=outcome)
    except FleetError as error:
        module.fail_json(msg=str(error), field=error.where)
    except NvmlError as error:
        module.fail_json(msg=f"{error}. Run playbooks/preflight.yml.")


if __name__ == "__main__":
    main()
