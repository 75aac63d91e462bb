#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: docker_daemon_config
short_description: Merge options into Docker's daemon.json without taking the file over
version_added: 0.1.0
description:
  - Lays O(required) over what C(daemon.json) says, fills in O(defaults) where it says nothing, and keeps the rest.
  - Remembers in O(record) what it wrote, so that an option no longer asked for goes away again, and a value that
    someone else changed since is left alone.
  - Keeps mode and owner of the file. The record holds no credentials, and none is part of a diff or of an answer.
  - Checks the result with C(dockerd --validate) where the installed daemon knows it, and checks by itself what that
    lets through.
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  path:
    description:
      - The daemon's configuration file.
    type: path
    default: /etc/docker/daemon.json
  record:
    description:
      - Where the module notes which options are its own.
    type: path
    default: /var/lib/gpuserve/docker_daemon.json
  required:
    description:
      - Options that win over what the file says. Of C(insecure-registries), C(registry-mirrors), C(dns) and C(labels)
        other parties' entries stay.
    type: dict
    default: {}
  if_set:
    description:
      - Options of O(required) that are asked for only where they have a value. False, an empty text and an empty list are none.
        O(required) wins over them.
    type: dict
    default: {}
  defaults:
    description:
      - Options that give way to what the file says already, as far as they have a value. C(live-restore) gives way to a swarm, too.
    type: dict
    default: {}
  keep:
    description:
      - Options that stay in the file though they are asked for no longer, the parts of a name parted by dots. Without O(required), the
        rest of what is in O(record) is removed, and the host has its file back.
    type: list
    elements: str
    default: []
  variables:
    description:
      - For an option of O(required), the name of the variable it came from, so that a message can name it;
        C(docker_engine_options) where none is given.
    type: dict
    default: {}
  containers_running:
    description:
      - How many containers run now. A change that would stop them is refused.
    type: int
    default: 0
  allow_stopping_containers:
    description:
      - Allow a change that stops running containers.
    type: bool
    default: false
  swarm_active:
    description:
      - Whether the daemon is part of a swarm.
    type: bool
    default: false
  known:
    description:
      - What a probe just read, RV(gpuserve.fleet.docker_engine_info#module:daemon_json). Where the file by that has all that it is asked
        for, the host is not asked again, and RV(validated) is false. O(path) and O(record) are then those of that probe.
    type: dict
    default: {}
    version_added: 0.2.0
extends_documentation_fragment:
  - gpuserve.fleet.attributes
"""

EXAMPLES = r"""
- name: Rotate logs, and keep everything else in the file
  gpuserve.fleet.docker_daemon_config:
    required:
      features: {cdi: true}
    defaults:
      log-driver: json-file
      log-opts: {max-size: 50m, max-file: "5"}
    containers_running: 3
"""

RETURN = r"""
effect:
  description: What the running daemon needs to take the change over, V(none), V(reload) or V(restart).
  returned: always
  type: str
  sample: restart
kept:
  description: Defaults that gave way to what the file says.
  returned: always
  type: list
  elements: str
  sample: ["log-driver stays 'journald'"]
options:
  description: The merged options.
  returned: always
  type: dict
  sample: {features: {cdi: true}}
validated:
  description: Whether C(dockerd --validate) looked at the result.
  returned: always
  type: bool
  sample: true
"""

import contextlib
import json
import os
import re
import stat
import tempfile
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import credentials
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import daemon_json
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.unlogged import UnloggedModule

_UNIT_FOLDERS = ("/usr/lib/systemd/system", "/lib/systemd/system", "/etc/systemd/system")


def render(value: Any) -> str:
    """Write JSON one way, so that only a change of meaning changes the file."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def read_options(path: str, text: str | None) -> dict[str, Any]:
    """Read the file; an empty one counts as no options."""
    if text is None or not text.strip():
        return {}
    try:
        options = json.loads(text)
    except ValueError as error:
        at = f"line {getattr(error, 'lineno', 1)}, column {getattr(error, 'colno', 1)}"
        fail(
            path,
            f"it is not JSON ({at}: {getattr(error, 'msg', error)}): "
            "Docker can't start from it, and we don't write over what we can't read.",
            "Correct the file, or move it away, and run again. Nothing was changed.",
        )
    if not isinstance(options, dict):
        fail(path, "it holds no JSON object.", "It must begin with { and end with }. Nothing was changed.")
    return options


def passes_hosts(files: HostFiles) -> bool:
    """Tell whether the service's command line names listeners; dockerd refuses to hear of them twice."""
    text = ""
    for folder in _UNIT_FOLDERS:
        text += files.read(f"{folder}/docker.service") or ""
        overrides = [
            files.read(f"{folder}/docker.service.d/{name}") or "" for name in files.names(f"{folder}/docker.service.d")
        ]
        text += "".join(overrides)
    starts = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    return bool(starts) and re.search(r"\s(-H|--host)[=\s]", starts[-1]) is not None


def validate(module: AnsibleModule, path: str, text: str) -> bool:
    """Let the installed daemon judge; Engine 20.10 does not know how."""
    dockerd = module.get_bin_path("dockerd", opt_dirs=["/usr/sbin", "/usr/local/bin"])
    if dockerd is None:
        return False
    handle, name = tempfile.mkstemp(dir=module.tmpdir, suffix=".json")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    status, out, err = module.run_command([dockerd, "--validate", "--config-file", name])
    said = (err or out).strip().replace(name, path)
    if status == 0:
        return True
    if "unknown flag" in said:
        return False
    fail(
        path,
        f"dockerd refuses the options: {said.splitlines()[-1] if said else status}.",
        "Correct docker_engine_options, or the file. Nothing was changed.",
    )


def write(path: str, text: str, mode: int) -> None:
    """Replace a file in one step; one that is there keeps its owner and its mode, which may close credentials of a proxy."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    owner = None
    with contextlib.suppress(FileNotFoundError):
        there = os.stat(path)
        mode, owner = stat.S_IMODE(there.st_mode), (there.st_uid, there.st_gid)
    atomic.write(os.path.realpath(path), text, mode, owner)


def keep_record(path: str, text: str) -> None:
    """Write the record where it says something else or is open to others, as earlier versions left it; an empty one needs no file."""
    there = HostFiles().read(path)
    if there is None and text == render([]):
        return
    if there != text or os.stat(path).st_mode & 0o077:
        atomic.make_folder(os.path.dirname(path), 0o755)
        atomic.write(path, text)


def run(module: AnsibleModule) -> dict[str, Any]:
    """Merge, check, write."""
    params = module.params
    files = HostFiles()
    path, record = params["path"], params["record"]
    before_text = files.read(path)
    # Whatever is said from here on, by us or by dockerd, says none of these.
    module.no_log_values.update(credentials.secrets(params))
    before = read_options(path, before_text)
    try:
        stored = json.loads(files.read(record) or "[]")
    except ValueError:
        stored = []
    asked = daemon_json.Asked.of(params, params["swarm_active"])
    module.no_log_values.update(credentials.secrets([before, asked.required, asked.defaults]))
    merge = asked.merged(before, stored)
    programs = [r.get("path") for r in (merge.options.get("runtimes") or {}).values() if isinstance(r, dict)]
    state = daemon_json.HostState(
        swarm_active=params["swarm_active"],
        hosts_flag=passes_hosts(files),
        files=frozenset(p for p in programs if isinstance(p, str) and files.exists(p)),
    )
    variables = {key: params["variables"].get(key, f"docker_engine_options.{key}") for key in asked.required}
    daemon_json.check(merge.options, state, variables, path)
    changed = merge.options != before
    text = render(merge.options)
    validated = validate(module, path, text)
    effect = daemon_json.effect(before, merge.options)
    if not params["allow_stopping_containers"]:
        daemon_json.check_consent(before, merge.options, params["containers_running"])
    if not module.check_mode:
        if changed:
            write(path, text, 0o600 if credentials.secrets(merge.options) else 0o644)
        keep_record(record, render(daemon_json.store_ours(merge.ours)))
    return {
        "changed": changed,
        "effect": effect,
        "kept": list(merge.kept),
        "options": merge.options,
        "validated": validated,
        "diff": {
            "before_header": path,
            "after_header": path,
            "before": credentials.hidden(before_text or ""),
            "after": credentials.hidden(text if changed else before_text or ""),
        },
    }


def main() -> NoReturn:
    """Run, and turn our own errors into a sentence."""
    module = UnloggedModule(
        argument_spec={
            "path": {"type": "path", "default": "/etc/docker/daemon.json"},
            "record": {"type": "path", "default": "/var/lib/gpuserve/docker_daemon.json"},
            "required": {"type": "dict", "default": {}},
            "if_set": {"type": "dict", "default": {}},
            "defaults": {"type": "dict", "default": {}},
            "keep": {"type": "list", "elements": "str", "default": []},
            "variables": {"type": "dict", "default": {}},
            "containers_running": {"type": "int", "default": 0},
            "allow_stopping_containers": {"type": "bool", "default": False},
            "swarm_active": {"type": "bool", "default": False},
            "known": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    module.run_command_environ_update = {"LC_ALL": "C", "LANGUAGE": "C"}
    try:
        result = run(module)
    except FleetError as error:
        module.fail_json(msg=str(error), field=error.where)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
