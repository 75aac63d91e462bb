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
  - Turns a memory plan and the models into one compose file, and secrets into env files that only root reads.
  - Validates the result with C(docker compose config) before it lands, and keeps the set it replaces.
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
  extra_volumes:
    description:
      - More volumes for every engine, as Compose writes them.
    type: list
    elements: str
    default: []
  surge_offset:
    description:
      - How many ports above a model's own its stand-in listens during a replacement; 0 for none.
    type: int
    default: 0
  entrypoint:
    description:
      - The image's own entrypoint. It is named in the stack only where there are secrets, which are put into its environment first.
    type: list
    elements: str
    default: [vllm, serve]
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
    port: {description: The port on the host's loopback., type: int}
    digest: {description: Changes when the engine has to be replaced., type: str}
endpoints:
  description: >-
    What a door in front of the engines needs of each model, C(name), C(aliases), C(adapters), C(endpoints), C(standby), C(max_num_seqs) and
    C(max_model_len).
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
compose_file:
  description: Where the compose file is.
  returned: success
  type: str
content:
  description: The compose file's text.
  returned: success
  type: str
"""

import os
import shlex
import tempfile
from pathlib import Path
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.ports import PortRules
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import parse_models
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack import compose
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.yaml_text import dump

HEADER = "# Written by gpuserve.fleet from the inventory; a change made here is lost at the next run.\n"


class Stack:
    """The files of one project on one host."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.folder = Path(module.params["project_dir"])
        self.file = self.folder / "compose.yml"

    def before(self) -> str:
        return self.file.read_text(encoding="utf-8") if self.file.exists() else ""

    def env_text(self, values: dict[str, str]) -> str:
        """What a shell reads."""
        return "".join(f"{name}={shlex.quote(value)}\n" for name, value in sorted(values.items()))

    def env_differs(self, names: list[str], text: str) -> bool:
        wanted = {compose.env_file(name): text for name in names} if text else {}
        there = {f"env/{path.name}": path.read_text(encoding="utf-8") for path in self.folder.glob("env/*.env")}
        return wanted != there

    def write(self, text: str, names: list[str], env_text: str) -> None:
        """Validate beside the real place, then put the new set there in one move; bringup keeps those that proved themselves."""
        self.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        env_dir = self.folder / "env"
        env_dir.mkdir(mode=0o700, exist_ok=True)
        wanted = {f"{name}.env" for name in names} if env_text else set()
        for name in sorted(wanted):
            self.put(env_dir / name, env_text, 0o600)
        draft = self.folder / ".compose.draft.yml"
        self.put(draft, text, 0o644)
        code, _out, error = self.module.run_command(
            ["docker", "compose", "--project-directory", str(self.folder), "-f", str(draft), "config", "--quiet"]
        )
        if code != 0:
            draft.unlink()
            self.module.fail_json(
                msg=f"Docker Compose refuses the rendered stack: {error.strip()} Nothing was changed."
            )
        os.replace(draft, self.file)
        for path in env_dir.glob("*.env"):
            if path.name not in wanted:
                path.unlink()

    def put(self, path: Path, text: str, mode: int) -> None:
        handle, name = tempfile.mkstemp(dir=path.parent)
        try:
            os.fchmod(handle, mode)
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
            os.replace(name, path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise


def old_digests(module: AnsibleModule, text: str) -> dict[str, str]:
    """Service name to digest of the set before, read from our own labels in our own file."""
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line.strip().startswith(f"{compose.LABEL}.model:"):
            name = line.split(":", 1)[1].strip().strip('"')
        if line.strip().startswith(f"{compose.LABEL}.digest:"):
            found[name] = line.split(":", 1)[1].strip().strip('"')
    return found


def run(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    if not params["plan"].get("feasible"):
        raise FleetError("plan: it does not fit.", "Plan again with what its reasons say.", "plan")
    specs = parse_models(params["models"], PortRules.read(params["reserved_ports"], params["surge_offset"]))
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
        entrypoint=tuple(params["entrypoint"]),
    )
    stack = compose.render(specs, params["plan"], options)
    text = HEADER + dump(stack)
    files, names = Stack(module), [spec.name for spec in specs]
    before, env_text = files.before(), files.env_text(compose.secrets(options))
    services = compose.services(stack)
    old, new = old_digests(module, before), {service["name"]: service["digest"] for service in services}
    changed = before != text or files.env_differs(names, env_text)
    if changed and not module.check_mode:
        try:
            files.write(text, names, env_text)
        except OSError as error:
            raise FleetError(
                f"project_dir: {files.folder} can't be written ({error.strerror}).",
                "Free space there, or name another folder.",
                "project_dir",
            ) from error
    return {
        "changed": changed,
        "services": services,
        "endpoints": compose.endpoints(specs, params["plan"], options),
        "changed_services": [name for name in new if old.get(name) != new[name]],
        "removed_services": [name for name in old if name not in new],
        "compose_file": str(files.file),
        "content": text,
        "diff": {"before": before, "after": text, "before_header": str(files.file), "after_header": str(files.file)},
    }


def main() -> NoReturn:
    module = AnsibleModule(
        argument_spec={
            "models": {"type": "list", "elements": "dict", "required": True},
            "plan": {"type": "dict", "required": True},
            "image": {"type": "str", "required": True},
            "device": {"type": "str", "choices": ["cuda", "cpu"], "default": "cuda"},
            "project_name": {"type": "str", "default": "gpuserve"},
            "project_dir": {"type": "path", "required": True},
            "cache_dir": {"type": "path", "default": "/var/lib/gpuserve/cache"},
            "network": {"type": "str", "choices": ["bridge", "host"], "default": "bridge"},
            "extra_volumes": {"type": "list", "elements": "str", "default": []},
            "surge_offset": {"type": "int", "default": 0},
            "reserved_ports": {"type": "dict", "default": {}},
            "entrypoint": {"type": "list", "elements": "str", "default": ["vllm", "serve"]},
            "hf_token": {"type": "str", "default": "", "no_log": True},
            "api_key": {"type": "str", "default": "", "no_log": True},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module))
    except FleetError as error:
        module.fail_json(msg=f"{error} Nothing was changed.", field=error.field)


if __name__ == "__main__":
    main()
