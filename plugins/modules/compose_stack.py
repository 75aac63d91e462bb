#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: compose_stack
short_description: Render the engines of a plan as a Docker Compose stack
version_added: 0.1.0
description:
  - Turns a memory plan and the models into one compose file, and secrets into files that only root reads; the variables of a model's C(env)
    are among them.
  - Validates the whole set beside the one that is there, with C(docker compose config), and replaces that in one step or not at all.
  - Starts nothing; M(gpuserve.fleet.bringup) does.
author:
  - gpuserve.fleet contributors (@gpuserve)
requirements:
  - Python 3.10 or newer
  - Docker Compose v2, unless in check mode
options:
  models:
    description:
      - The models, as in M(gpuserve.fleet.memory_plan).
    type: list
    elements: dict
    required: true
  plan:
    description:
      - RV(gpuserve.fleet.memory_plan#module:plan) of that module; it must be feasible.
    type: dict
    required: true
  image:
    description:
      - The engine's image, best with its digest; its entrypoint is C(vllm serve).
    type: str
    required: true
  device:
    description:
      - What the engines compute on.
    type: str
    choices: [cuda, cpu]
    default: cuda
  project_name:
    description:
      - Name of the Compose project.
    type: str
    default: gpuserve
  project_dir:
    description:
      - Folder for the compose file, the env files and the sets before.
    type: path
    required: true
  cache_dir:
    description:
      - Folder for weights and compile caches.
    type: path
    default: /var/lib/gpuserve/cache
  network:
    description:
      - V(bridge) publishes each engine on loopback; V(host) binds it there directly, for Docker without iptables.
    type: str
    choices: [bridge, host]
    default: bridge
  transport:
    description:
      - V(socket) has each engine listen on a Unix socket in a folder of its own, which only root and the gateway reach; V(tcp) on its port.
    type: str
    choices: [socket, tcp]
    default: tcp
  gateway:
    description:
      - Whether a gateway of this host serves the engines. It is then told of the sockets that they may move to, too.
    type: bool
    default: false
  docker_version:
    description:
      - The version of Docker Engine; before 28 others of the same network reach what it publishes on loopback, which is warned of.
    type: str
    default: ""
  engine_version:
    description:
      - The engines' version; one that does not listen on sockets behind a gateway is warned of. Without it, it counts as new.
    type: str
    default: ""
  extra_volumes:
    description:
      - More volumes for every engine, as Compose writes them; what they name on the host has to be there.
    type: list
    elements: str
    default: []
  surge_offset:
    description:
      - How many ports above a model's own its surge instance listens during a replacement; 0 for none.
    type: int
    default: 0
  stop_grace_s:
    description:
      - Seconds between asking an engine to end and ending it, by whoever stops it.
    type: int
    default: 30
  entrypoint:
    description:
      - The image's own entrypoint. It is named in the stack only where there are secrets, which are put into its environment first.
    type: list
    elements: str
    default: [vllm, serve]
  offline:
    description:
      - Names of models whose files are all on the host, so that their engines start without a hub.
    type: list
    elements: str
    default: []
  hub_endpoint:
    description:
      - The mirror of the hub for engines that load their own files; empty for the public one.
    type: str
    default: ""
  hf_token:
    description:
      - Token for gated models.
    type: str
    default: ""
  api_key:
    description:
      - Key that the engines ask for.
    type: str
    default: ""
  reserved_ports:
    description:
      - Ports that other parts of the host have, by the variable that sets them (C(gateway_port)); 0 is none. No model gets one of them.
    type: dict
    default: {}
  kept_ports:
    description:
      - Ports that models of the host have already, by name, as P(gpuserve.fleet.kept_ports#filter) finds them. A model without a port of
        its own keeps the one it has, and none of them goes to another.
    type: dict
    default: {}
extends_documentation_fragment:
  - gpuserve.fleet.attributes
attributes:
  diff_mode:
    details:
      - Secrets are never part of it.
"""

EXAMPLES = r"""
- name: Render the stack
  gpuserve.fleet.compose_stack:
    models: "{{ vllm_stack_models }}"
    plan: "{{ planned.plan }}"
    image: vllm/vllm-openai:v0.33.0
    project_dir: /opt/gpuserve/stack
  register: stack
"""

RETURN = r"""
services:
  description: What M(gpuserve.fleet.bringup) needs of each service.
  returned: success
  type: list
  elements: dict
  contains:
    name: {description: The model and service., type: str}
    container: {description: The container., type: str}
    image: {description: The image., type: str}
    port: {description: "The port on the host's loopback, the gateway's where there is a socket.", type: int}
    socket: {description: The engine's socket; absent where it listens on its port., type: str}
    digest: {description: Changes when the engine has to be replaced., type: str}
    group: {description: "Its place among engines of several hosts, V(0/2) for the one that serves; absent where it is alone.", type: str}
endpoints:
  description: >-
    What a gateway in front of the engines needs of each model, C(name), C(aliases), C(adapters), C(endpoints), C(standby),
    C(max_num_seqs), C(max_model_len) and, where engines listen on sockets, C(address).
  returned: success
  type: list
  elements: dict
changed_services:
  description: Services that are new or differ from the set before.
  returned: success
  type: list
  elements: str
removed_services:
  description: Services of the set before that are gone.
  returned: success
  type: list
  elements: str
changed_files:
  description: >-
    Which files of the set are there with another content, or are there on one side alone, by their path below O(project_dir).
  returned: success
  type: list
  elements: str
compose_file:
  description: Where the compose file is.
  returned: success
  type: str
content:
  description: The compose file's text.
  returned: success
  type: str
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.ports import PortRules
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import ModelSpec, parse_models
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack import compose, group, secrets, transport
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.yaml_text import dump
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.text import harmless
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import net
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.sets import Sets
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic, mark, ownership, powerless
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage.ownership import UnsafePath
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.unlogged import UnloggedModule

HEADER = "# Written by gpuserve.fleet from the inventory; a change made here is lost at the next run.\n"


class Stack:
    """The set of one project on one host, and Docker Compose's word on a new one."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.sets = Sets(module.params["project_dir"])

    def write(self, text: str, files: Mapping[str, str]) -> None:
        """Put a new set in place, unless Compose refuses it; bringup keeps those that proved themselves."""
        self.sets.render(text, files, self.validate)

    def validate(self, draft: Path) -> None:
        """Let Compose judge a set that lies beside the real one."""
        command = ["docker", "compose", "--project-directory", str(draft.parent), "-f", str(draft), "config", "--quiet"]
        code, out, error = self.module.run_command(command)
        if code != 0:
            said = [line for line in (error or out).splitlines() if line.strip()]
            fail(
                "project_dir",
                f"Docker Compose refuses the rendered stack: {harmless(said[-1] if said else f'exit status {code}')}",
                "Correct vllm_stack_extra_volumes or the models' settings that it names.",
            )


def check_readable(specs: Sequence[ModelSpec], cache_dir: str) -> None:
    """Refuse weights and caches that an engine could not use: it is root without DAC_OVERRIDE, for which modes count."""
    for index, spec in enumerate(specs):
        where = f"vllm_stack_models[{index}].model"
        if spec.is_local and not Path(spec.model).exists():
            fail(where, f"{spec.model} is not on the host.", "Put the model there, or write a hub id.")
        place = Path(spec.model)
        if not spec.is_local:
            where = "vllm_stack_cache_dir"
            place = Path(cache_dir, "huggingface", "hub", f"models--{spec.model.replace('/', '--')}")
        if place.exists() and (why := powerless.blocked(place, write=not spec.is_local)):
            fail(
                where,
                f"{harmless(why)}, for it runs as root without its powers.",
                f"Hand it over: chown -R root:root {place}",
            )


def check_caches(folders: Sequence[str]) -> None:
    """Refuse folders of caches that an engine could not write to; what is in them is its own."""
    for folder in folders:
        if (place := Path(folder)).exists() and (why := powerless.blocked(place, write=True, deep=False)):
            fail(
                "vllm_stack_cache_dir",
                f"{harmless(why)}, for it runs as root without its powers.",
                f"Hand it over: chown -R root:root {place}",
            )


def old_digests(text: str) -> dict[str, str]:
    """Service name to digest of the set before, read from our own labels in our own file."""
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line.strip().startswith(f"{compose.LABEL}.model:"):
            name = line.split(":", 1)[1].strip().strip('"')
        if line.strip().startswith(f"{compose.LABEL}.digest:"):
            found[name] = line.split(":", 1)[1].strip().strip('"')
    return found


def interfaces(module: AnsibleModule, specs: Sequence[ModelSpec]) -> dict[str, str]:
    """Return the interface of each address at which other hosts of a group reach this one; a preview may be made elsewhere."""
    found = {address: net.interface_of(address, module.run_command) for address in group.addresses(specs)}
    for address, interface in found.items():
        if not module.check_mode:
            group.check_interface(address, interface)
    return found


def run(module: AnsibleModule, models: list[dict[str, Any]]) -> dict[str, Any]:
    params = module.params
    if not params["plan"].get("feasible"):
        fail("plan", "it does not fit.", "Plan again with what its reasons say.")
    ports = PortRules.read(params["reserved_ports"], params["surge_offset"], params["kept_ports"])
    specs = parse_models(models, ports)
    options = compose.StackOptions(
        project=params["project_name"],
        image=params["image"],
        device=params["device"],
        cache_dir=params["cache_dir"],
        network=params["network"],
        extra_volumes=tuple(params["extra_volumes"]),
        hf_token=params["hf_token"],
        api_key=params["api_key"],
        surge_offset=params["surge_offset"],
        stop_grace_s=params["stop_grace_s"],
        entrypoint=tuple(params["entrypoint"]),
        offline=frozenset(params["offline"]),
        hub_endpoint=params["hub_endpoint"],
        transport=params["transport"],
        moves=params["gateway"],
        interfaces=interfaces(module, specs),
    )
    stack = compose.render(specs, params["plan"], options)
    text = HEADER + dump(stack)
    here, files = Stack(module), compose.secret_files(specs, stack, options)
    before, files_before = here.sets.rendered()
    services = compose.services(stack)
    endpoints = compose.endpoints(specs, params["plan"], options)
    for parameter, variable in secrets.VARIABLES.items():
        secrets.check(params[parameter], variable, [text, params["project_dir"], json.dumps(endpoints)])
    check_readable(specs, params["cache_dir"])
    check_caches(compose.cache_folders(stack, params["cache_dir"]))
    old, new = old_digests(before), {service["name"]: service["digest"] for service in services}
    compose_name = here.sets.compose_file().name
    there, wanted = {compose_name: before, **files_before}, {compose_name: text, **files}
    changed = sorted(path for path in {*there, *wanted} if there.get(path) != wanted.get(path))
    if changed and not module.check_mode:
        try:
            # What is compiled there is code that engines run.
            ownership.check(Path(params["cache_dir"], "vllm"))
            # Docker would make these too, but not refuse one that is misspelt.
            mark.adopt(params["cache_dir"])
            mark.adopt(Path(params["cache_dir"], "vllm"))
            for folder in compose.cache_folders(stack, params["cache_dir"]):
                atomic.make_folder(folder, 0o755)
            here.write(text, files)
        except UnsafePath as error:
            name = "project_dir" if error.filename == params["project_dir"] else "cache_dir"
            fail(
                f"vllm_stack_{name}",
                f"{error.filename} is not root's alone: {error.strerror}.",
                "Close it to others, or name another folder.",
            )
        except OSError as error:
            fail(
                "project_dir",
                f"{here.sets.folder} can't be written ({error.strerror}).",
                "Free space there, or name another folder.",
            )
    return {
        "changed": bool(changed),
        "warnings": [
            *group.warnings(specs),
            *transport.too_old(params["transport"], params["engine_version"], params["gateway"]),
            *transport.warnings(
                params["transport"], params["network"], params["docker_version"], bool(params["api_key"])
            ),
        ],
        "services": services,
        "endpoints": endpoints,
        "changed_services": [name for name in new if old.get(name) != new[name]],
        "removed_services": [name for name in old if name not in new],
        "changed_files": changed,
        "compose_file": str(here.sets.compose_file()),
        "content": text,
        "diff": {
            "before": before,
            "after": text,
            "before_header": str(here.sets.compose_file()),
            "after_header": str(here.sets.compose_file()),
        },
    }


def main() -> NoReturn:
    os.umask(0o077)
    module = UnloggedModule(
        argument_spec={
            "models": {"type": "list", "elements": "dict", "required": True},
            "plan": {"type": "dict", "required": True},
            "image": {"type": "str", "required": True},
            "device": {"type": "str", "choices": ["cuda", "cpu"], "default": "cuda"},
            "project_name": {"type": "str", "default": "gpuserve"},
            "project_dir": {"type": "path", "required": True},
            "cache_dir": {"type": "path", "default": "/var/lib/gpuserve/cache"},
            "network": {"type": "str", "choices": ["bridge", "host"], "default": "bridge"},
            "transport": {"type": "str", "choices": ["socket", "tcp"], "default": "tcp"},
            "gateway": {"type": "bool", "default": False},
            "docker_version": {"type": "str", "default": ""},
            "engine_version": {"type": "str", "default": ""},
            "extra_volumes": {"type": "list", "elements": "str", "default": []},
            "surge_offset": {"type": "int", "default": 0},
            "reserved_ports": {"type": "dict", "default": {}},
            "kept_ports": {"type": "dict", "default": {}},
            "stop_grace_s": {"type": "int", "default": 30},
            "entrypoint": {"type": "list", "elements": "str", "default": ["vllm", "serve"]},
            "offline": {"type": "list", "elements": "str", "default": []},
            "hub_endpoint": {"type": "str", "default": ""},
            "hf_token": {"type": "str", "default": "", "no_log": True},
            "api_key": {"type": "str", "default": "", "no_log": True},
        },
        supports_check_mode=True,
    )
    models = module.params["models"]
    module.params["models"] = secrets.masked(models)
    try:
        result = run(module, models)
        for warning in result.pop("warnings"):
            module.warn(warning)
        module.exit_json(**result)
    except FleetError as error:
        more: dict[str, Any] = {}
        if error.where in secrets.VARIABLES.values():
            # The one that is refused would be torn out of the sentence that says so, which names only its variable.
            module.no_log_values.clear()
            more = {"invocation": {}}
        module.fail_json(msg=f"{error} Nothing was changed.", field=error.where, **more)


if __name__ == "__main__":
    main()
