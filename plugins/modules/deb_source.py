#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: deb_source
short_description: Add an apt repository only after it has proved itself
version_added: 0.1.0
description:
  - Reads the repository's index with apt in a place of its own, and writes the entry only if signature and index are
    good.
  - A repository that is gone, or signed by someone else, thereby never stands between a host and its package manager.
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  path:
    description:
      - The entry, a file in C(/etc/apt/sources.list.d) whose name ends in C(.sources).
    type: path
    required: true
  content:
    description:
      - The entry's text, in the deb822 format.
    type: str
    required: true
  variable:
    description:
      - The variable that holds the repository's address, for messages.
    type: str
    required: true
  key_variable:
    description:
      - The variable that holds the fingerprints of its key, for messages.
    type: str
    required: true
  again:
    description:
      - Read the repository even if the entry is there already, as before an upgrade. Its owner may have changed the key since.
    type: bool
    default: false
  timeout_s:
    description:
      - How long each connection may take, in seconds.
    type: int
    default: 30
extends_documentation_fragment:
  - gpuserve.fleet.attributes
attributes:
  check_mode:
    details:
      - In check mode the repository is not tried, since its key may not be there yet.
"""

EXAMPLES = r"""
- name: Add Docker's repository
  gpuserve.fleet.deb_source:
    path: /etc/apt/sources.list.d/docker.sources
    variable: docker_engine_repository_url
    key_variable: docker_engine_repository_fingerprints
    content: |
      Types: deb
      URIs: https://download.docker.com/linux/debian
      Suites: trixie
      Components: stable
      Signed-By: /etc/apt/keyrings/gpuserve-docker.gpg
"""

RETURN = r"""
tried:
  description: Whether the repository was read.
  returned: success
  type: bool
  sample: true
"""

import os
import tempfile
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import distribution
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic


def attempt(module: AnsibleModule, content: str) -> None:
    """Let apt read the index into a folder of its own."""
    folder = tempfile.mkdtemp(dir=module.tmpdir)
    source = os.path.join(folder, "try.sources")
    with open(source, "w", encoding="utf-8") as file:
        file.write(content)
    os.makedirs(os.path.join(folder, "lists", "partial"))
    options = {
        "Dir::Etc::sourcelist": source,
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": os.path.join(folder, "lists"),
        "APT::Sandbox::User": "root",
        "Acquire::Retries": "1",
        "Acquire::http::Timeout": module.params["timeout_s"],
        "Acquire::https::Timeout": module.params["timeout_s"],
    }
    command = ["apt-get", "update"]
    for key, value in options.items():
        command += ["-o", f"{key}={value}"]
    status, out, err = module.run_command(command)
    reason = distribution.apt_update_failure(status, out, err)
    if reason:
        variable, keys = module.params["variable"], module.params["key_variable"]
        cure = f"Correct {variable}."
        if distribution.is_about_the_key(reason):
            cure = f"If its owner changed the key, set {keys} to what the owner publishes; else correct {variable}."
        raise FleetError(
            f"{variable}: the repository can't be used: {reason}.",
            f"{cure} Nothing was changed in apt's sources.",
            field=variable,
        )


def run(module: AnsibleModule) -> dict[str, Any]:
    """Try, then write."""
    path, content = module.params["path"], module.params["content"].strip() + "\n"
    before = HostFiles().read(path)
    changed = before != content
    tried = (changed or module.params["again"]) and not module.check_mode
    if tried:
        attempt(module, content)
    if changed and not module.check_mode:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        atomic.write(os.path.realpath(path), content, 0o644)
    diff = {"before_header": path, "after_header": path, "before": before or "", "after": content}
    return {"changed": changed, "tried": tried, "diff": diff}


def main() -> NoReturn:
    """Run, and turn our own errors into a sentence."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "content": {"type": "str", "required": True},
            "variable": {"type": "str", "required": True},
            "key_variable": {"type": "str", "required": True, "no_log": False},
            "again": {"type": "bool", "default": False},
            "timeout_s": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    module.run_command_environ_update = {"LC_ALL": "C", "LANGUAGE": "C"}
    try:
        result = run(module)
    except FleetError as error:
        module.fail_json(msg=str(error), field=error.field)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
