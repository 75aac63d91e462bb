#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: last_applied
short_description: Tell whether a host still is and serves what the run before has brought it to
version_added: 0.3.0
description:
  - With V(recorded) it notes on the host what was asked for, as a digest, and a digest of each thing that serves there. Those are files
    in the folders of stack and gateway, units, files that variables name, weights by their sizes, containers and cards, and what driver,
    Docker and container toolkit are set up by, such as packages with their versions, repositories, keys, daemon.json and kernels.
  - With V(compared) it tells whether all of that is as it was, and whether each engine makes a token and each model streams one through
    the gateway. Then a run has nothing to do there. Where anything differs, and after a week, the note is removed before the host changes.
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  state:
    description:
      - V(recorded) notes, V(compared) compares.
    type: str
    choices: [compared, recorded]
    required: true
  asked:
    description:
      - A digest of all that the host is asked for. Empty is never as before, and is not noted.
    type: str
    required: true
  project_name:
    description:
      - The stack's name.
    type: str
    default: gpuserve
  project_dir:
    description:
      - The stack's folder.
    type: path
    required: true
  state_dir:
    description:
      - Where runs keep what they remember; the note is C(last_applied.json) in it.
    type: path
    default: /var/lib/gpuserve
  cache_dir:
    description:
      - Where weights are.
    type: path
    required: true
  gateway_dir:
    description:
      - The gateway's folder.
    type: path
    default: /opt/gpuserve/gateway
  paths:
    description:
      - Files and folders on the host that variables name. A folder is told by the names, sizes and times of what is in it.
    type: list
    elements: str
    default: []
  packages:
    description:
      - Packages that variables name, with or without a version. Those of driver, Docker and toolkit are told anyway.
    type: list
    elements: str
    default: []
  differs:
    description:
      - What is known to be otherwise than it was, whatever is found on the host.
    type: str
    default: ""
  copies:
    description:
      - Checksums (SHA-256) that files of the host have to have, by their paths, because somebody else has a copy.
    type: dict
    default: {}
  device:
    description:
      - V(cpu) has the host's memory as the one card.
    type: str
    choices: [cuda, cpu]
    default: cuda
  bringup:
    description:
      - Options of M(gpuserve.fleet.bringup) by which engines are probed.
    type: dict
    default: {}
  api_key:
    description:
      - The engines' key.
    type: str
    default: ""
  api_key_file:
    description:
      - The file on the host with the engines' key, where O(api_key) is empty.
    type: path
  gateway:
    description:
      - How the gateway is met on its host, with C(url) and C(generation), to be noted.
    type: dict
    default: {}
  access:
    description:
      - How clients come in, to be noted.
    type: dict
    default: {}
  key:
    description:
      - A key of the gateway that may use every model. Without one, models are not asked through a gateway that wants one.
    type: str
    default: ""
  key_is_first:
    description:
      - Whether O(key) is the one that was made where nobody wrote any. It is taken where O(access) was noted with it, since another
        controller may have made the one that holds.
    type: bool
    default: false
  prove_timeout_s:
    description:
      - How long each model may take until it streams through the gateway.
    type: float
    default: 60
extends_documentation_fragment:
  - gpuserve.fleet.attributes.reads
  - gpuserve.fleet.host
  - gpuserve.fleet.host.docker
"""

EXAMPLES = r"""
- name: Check whether the host is as the run before has left it
  gpuserve.fleet.last_applied:
    state: compared
    asked: "{{ digest }}"
    project_dir: /opt/gpuserve/stack
    cache_dir: /var/lib/gpuserve/cache
  register: before
"""

RETURN = r"""
as_before:
  description: Whether the host is and serves what it was brought to.
  returned: always
  type: bool
why:
  description: What differs, or what is wrong; empty where nothing is.
  returned: always
  type: str
  sample: container vllm-qwen differs from what the last run left
endpoints:
  description: Where engines answer, as M(gpuserve.fleet.bringup) returns it.
  returned: where nothing differs
  type: list
  elements: dict
generating:
  description: The models that make tokens.
  returned: where nothing differs
  type: list
  elements: str
report:
  description: What was measured of each model, as M(gpuserve.fleet.bringup) returns it.
  returned: where nothing differs
  type: list
  elements: dict
access:
  description: How clients come in, as it was noted.
  returned: where nothing differs
  type: dict
"""

import hashlib
import os
import time
from pathlib import Path
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet.last_applied import Record, difference
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.docker import DockerError
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.gateway.serving import Serving
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.gateway.stream import Stream, prove
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import applied
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.bringup import ARGUMENTS, Bringup, Refused
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.sets import PROVED, Sets


def found(module: AnsibleModule) -> dict[str, str]:
    """Return digests of what is on the host."""
    params = module.params
    scope = applied.Scope(
        folders=[params["project_dir"], params["gateway_dir"], params["state_dir"]],
        cache_dir=params["cache_dir"],
        paths=params["paths"],
        packages=params["packages"],
        project=params["project_name"],
        device=params["device"],
        socket=params["docker_socket"],
        root=params["root"],
    )

    def command(arguments: list[str]) -> tuple[int, str, str]:
        program = module.get_bin_path(arguments[0])
        return module.run_command([program, *arguments[1:]]) if program else (127, "", f"no {arguments[0]}")

    return applied.found(scope, command)


def copies_differ(params: dict[str, Any]) -> str:
    """Return the first file of which somebody else has another copy; empty where there is none."""
    for path, checksum in params["copies"].items():
        try:
            there = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        except OSError:
            there = ""
        if there != checksum:
            return f"{path} is not what the controller has of it"
    return ""


def serving(module: AnsibleModule, record: Record) -> dict[str, Any]:
    """Ask each engine, then each model through the gateway; return what serves, and why it does not."""
    params = module.params
    kept = Sets(params["project_dir"]).read(PROVED)
    if kept is None:
        return {"why": "no set of engines has served whole there"}
    engines_key = params["api_key"]
    if not engines_key and params["api_key_file"]:
        engines_key = Path(params["api_key_file"]).read_text(encoding="utf-8").strip()
    asked = {
        **{name: option.get("default") for name, option in ARGUMENTS.items()},
        **params["bringup"],
        **{name: params[name] for name in ("project_name", "project_dir", "state_dir", "device")},
        **{name: kept[name] for name in ("services", "endpoints", "plan")},
        "api_key": engines_key,
        "probe_only": True,
    }
    probed = Bringup(asked, check_mode=False).run()
    if probed.get("work") or probed.get("failures"):
        return {"why": "an engine does not serve as it did"}
    gateway = record.gateway
    url = str(gateway.get("url", ""))
    served = Serving(Path(params["gateway_dir"]), url, str(gateway.get("generation", "")), module.run_command)
    if not served.is_current():
        return {"why": "the gateway does not serve as it did"}
    key = "" if params["key_is_first"] and not record.access.get("key_file") else params["key"]
    if key or not record.access.get("auth"):
        prove(lambda model: Stream(url, model, key), probed["generating"], params["prove_timeout_s"])
    return {
        "why": "",
        **{name: probed[name] for name in ("endpoints", "generating", "report")},
        "access": dict(record.access),
    }


def compare(module: AnsibleModule) -> dict[str, Any]:
    """Return whether the host is as before; whatever can't be told is taken for a difference, which the run then meets itself."""
    params = module.params
    record = applied.record_of(params["state_dir"])
    # What is asked for is told first: where that differs, nothing has to be read.
    is_wished = record is not None and record.asked == params["asked"]
    try:
        why = (params["differs"] or copies_differ(params)) if is_wished else ""
        there = found(module) if is_wished and not why else {}
        why = why or difference(record, params["asked"], there, time.time())
        told = {"why": why} if why or record is None else serving(module, record)
    except (FleetError, Refused, DockerError, OSError) as error:
        told = {"why": str(error)}
    if told["why"] and not module.check_mode:
        applied.forget(params["state_dir"])
    return {"as_before": not told["why"], **told}


def main() -> NoReturn:
    """Run."""
    os.umask(0o077)
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["compared", "recorded"], "required": True},
            "asked": {"type": "str", "required": True},
            "project_name": {"type": "str", "default": "gpuserve"},
            "project_dir": {"type": "path", "required": True},
            "state_dir": {"type": "path", "default": "/var/lib/gpuserve"},
            "cache_dir": {"type": "path", "required": True},
            "gateway_dir": {"type": "path", "default": "/opt/gpuserve/gateway"},
            "paths": {"type": "list", "elements": "str", "default": []},
            "packages": {"type": "list", "elements": "str", "default": []},
            "copies": {"type": "dict", "default": {}},
            "differs": {"type": "str", "default": ""},
            "device": {"type": "str", "choices": ["cuda", "cpu"], "default": "cuda"},
            "bringup": {"type": "dict", "default": {}},
            "api_key": {"type": "str", "default": "", "no_log": True},
            "api_key_file": {"type": "path", "no_log": False},
            "gateway": {"type": "dict", "default": {}},
            "access": {"type": "dict", "default": {}},
            "key": {"type": "str", "default": "", "no_log": True},
            "key_is_first": {"type": "bool", "default": False},
            "prove_timeout_s": {"type": "float", "default": 60},
            "docker_socket": {"type": "path", "default": "/var/run/docker.sock"},
            "root": {"type": "path", "default": "/"},
        },
        supports_check_mode=True,
    )
    module.run_command_environ_update = {"LC_ALL": "C", "LANGUAGE": "C"}
    params = module.params
    try:
        if params["state"] == "compared":
            module.exit_json(changed=False, **compare(module))
        if params["asked"] and not module.check_mode:
            record = Record(params["asked"], found(module), time.time(), params["gateway"], params["access"])
            applied.keep(params["state_dir"], record)
    except OSError as error:
        module.fail_json(msg=f"{error.filename}: it can't be read or written ({error.strerror}). Mend the folder.")
    module.exit_json(changed=False, as_before=bool(params["asked"]), why="")


if __name__ == "__main__":
    main()
