#!/usr/bin/python

# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: python_environment
short_description: Make a Python environment of exact packages, each known by its checksum
version_added: 0.1.0
description:
  - Makes a virtual environment and installs what a requirements file names, by pip. Every package has to have a checksum there, and only
    wheels are taken, so that nothing is built and run on the host that nobody looked at.
  - An environment that was made from the same file before is left as it is. Another one is made anew, in a folder that is ours only.
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  path:
    description:
      - The environment's folder. One that is there and bears no mark of ours is refused.
    type: path
    required: true
  requirements:
    description:
      - The requirements file on the host.
    type: path
    required: true
  python:
    description:
      - The Python that the environment is made of.
    type: path
    required: true
  pip_args:
    description:
      - Further options for pip, such as V(--index-url) and its address.
      - Those whose address has an account reach pip by its environment and not by its command line, which others on the host read.
    type: list
    elements: str
    default: []
  ca_bundle:
    description:
      - A bundle of authorities to trust for the package index.
    type: path
extends_documentation_fragment:
  - gpuserve.fleet.attributes
attributes:
  diff_mode:
    support: none
"""

EXAMPLES = r"""
- name: Make the environment of the modules
  gpuserve.fleet.python_environment:
    path: /opt/gpuserve/venv
    requirements: /var/lib/gpuserve/requirements.txt
    python: /usr/bin/python3
"""

RETURN = r"""
path:
  description: The environment's folder.
  returned: success
  type: str
  sample: /opt/gpuserve/venv
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import credentials
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import pip_options
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.text import harmless
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic, mark
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.unlogged import UnloggedModule

# A copy of the requirements, written last: an environment without it is not whole.
COMPLETE = ".complete"


def run(module: AnsibleModule) -> dict[str, Any]:
    """Make it, unless it is there."""
    params = module.params
    path, wanted = Path(params["path"]), Path(params["requirements"]).read_text(encoding="utf-8")
    complete = path / COMPLETE
    if complete.is_file() and complete.read_text(encoding="utf-8") == wanted:
        return {"changed": False, "path": str(path)}
    why = mark.left_alone(path, [COMPLETE]) if os.path.lexists(path) else ""
    if why and not (path.is_dir() and not path.is_symlink() and not os.listdir(path)):
        fail("vllm_stack_venv", f"{path} is there already and not ours: {why}.", "Name another folder.")
    if not module.check_mode:
        with _kept_until_whole(path):
            mark.adopt(path)
            _make(module, path)
            atomic.write(complete, wanted, 0o644)
    return {"changed": True, "path": str(path)}


@contextlib.contextmanager
def _kept_until_whole(path: Path) -> Iterator[None]:
    """Put the old environment aside, and back if there is no new one in the end."""
    before = path.with_name(f"{path.name}.before")
    atomic.clear(before)
    if path.exists():
        atomic.move(path, before)
    try:
        yield
    except BaseException:
        atomic.clear(path)
        if before.exists():
            atomic.move(before, path)
        raise
    atomic.clear(before)


def _make(module: AnsibleModule, path: Path) -> None:
    params = module.params
    options, secret = pip_options.split(params["pip_args"])
    certificate = {"PIP_CERT": params["ca_bundle"]} if params["ca_bundle"] else {}
    pip = [str(path / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    commands = [
        [params["python"], "-m", "venv", str(path)],
        [*pip, *options, "--require-hashes", "--only-binary=:all:", "-r", params["requirements"]],
    ]
    for command in commands:
        status, out, error = module.run_command(command, environ_update={**certificate, **secret})
        if status != 0:
            said = [line for line in (error or out).splitlines() if line.strip()] or ["no reason was given"]
            fail(
                "vllm_stack_pip_args",
                f"the Python packages that our modules need can't be installed ({harmless(said[-1])}).",
                "Give the host a way to a package index, or name one in this variable (for a company's certificate authority, "
                "vllm_stack_ca_bundle).",
            )


def main() -> NoReturn:
    """Run, and turn our own errors into a sentence."""
    # What is installed is for every account to read and for nobody else to write.
    os.umask(0o022)
    module = UnloggedModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "requirements": {"type": "path", "required": True},
            "python": {"type": "path", "required": True},
            "pip_args": {"type": "list", "elements": "str", "default": []},
            "ca_bundle": {"type": "path"},
        },
        supports_check_mode=True,
    )
    module.no_log_values.update(credentials.secrets(module.params))
    try:
        module.exit_json(**run(module))
    except FleetError as error:
        module.fail_json(msg=f"{error} Nothing that serves was touched.", field=error.where)
    except OSError as error:
        module.fail_json(msg=f"{error.filename} can't be written ({error.strerror}). Nothing that serves was touched.")


if __name__ == "__main__":
    main()
