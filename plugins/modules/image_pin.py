#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: image_pin
short_description: Have an image on the host as its tag stood for it at first
version_added: 0.2.0
description:
  - Pulls an image that is not there, and keeps the digest that its tag stood for. From then on that digest is what is pulled and run,
    whatever the registry or the host has under the tag by then, until the name is another one or O(renew) is set.
  - An image that is named by digest is what it is, and one that was loaded from a file has no digest to keep.
author:
  - gpuserve.fleet contributors (@gpuserve)
requirements:
  - Docker
options:
  image:
    description: The image, by tag or digest.
    type: str
    required: true
  variable:
    description: The variable that names it, for a message.
    type: str
    required: true
  record:
    description: The file that keeps the digests.
    type: path
    required: true
  renew:
    description: Whether to take what the tag stands for now, and keep that; where no registry answers, what the host has under it.
    type: bool
    default: false
  pull:
    description: Whether to pull what is not there; otherwise the module only tells what would run.
    type: bool
    default: true
extends_documentation_fragment:
  - gpuserve.fleet.attributes
attributes:
  diff_mode:
    support: none
    details:
      - An image is no text.
"""

EXAMPLES = r"""
- name: Install the gateway's image
  gpuserve.fleet.image_pin:
    image: openresty/openresty:1.31.1.1-3-jammy
    variable: gateway_image
    record: /opt/gpuserve/gateway/images.json
  register: image
"""

RETURN = r"""
image:
  description: What to run; by digest where one is known.
  returned: success
  type: str
  sample: openresty/openresty@sha256:0f1e2d3c4b5a69788796a5b40f1e2d3c4b5a69788796a5b40f1e2d3c4b5a6978
present:
  description: Whether it is on the host.
  returned: success
  type: bool
"""

import json
from pathlib import Path
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import image_pin
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.text import harmless
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic


class Images:
    """The images of one host's Docker Engine."""

    def __init__(self, module: AnsibleModule) -> None:
        self._run = module.run_command

    def inspect(self, image: str) -> list[str]:
        """Return the id of an image and its digests; nothing where it or Docker is not there."""
        try:
            command = ["docker", "image", "inspect", "--format", image_pin.DIGESTS, image]
            code, out, _error = self._run(command, handle_exceptions=False)
        except OSError:
            return []
        return str(out).split() if code == 0 else []

    def pull(self, image: str) -> str:
        """Pull an image; return why it could not be pulled, or nothing."""
        code, out, error = self._run(["docker", "pull", "--quiet", image])
        said = [line.strip() for line in f"{out}\n{error}".splitlines() if line.strip()]
        return "" if code == 0 else harmless(said[-1] if said else f"exit status {code}")


def read(path: Path) -> dict[str, str]:
    """Read the record; one that is not there or was cut short counts as none."""
    try:
        return image_pin.read(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def run(module: AnsibleModule) -> dict[str, Any]:
    """Look, pull, keep."""
    params, images = module.params, Images(module)
    name, path = params["image"], Path(params["record"])
    known, acts = read(path), params["pull"] and not module.check_mode
    wanted = image_pin.wanted(name, known, params["renew"])
    before = images.inspect(wanted)
    if acts and (not before or (params["renew"] and not image_pin.by_digest(name))) and (why := images.pull(wanted)):
        if not before:
            refuse(params, wanted, why)
        module.warn(f"{name} can't be pulled ({why}): what the host has under that name is taken.")
    after = images.inspect(wanted) if acts else before
    pinned = wanted if image_pin.by_digest(wanted) else image_pin.pin(name, after[1:])
    kept = image_pin.keep(known, name, pinned)
    if kept != known and acts:
        atomic.make_folder(path.parent, 0o755)
        atomic.write(path, json.dumps(kept, indent=2, sort_keys=True) + "\n")
    return {"changed": acts and (before != after or kept != known), "image": pinned or name, "present": bool(after)}


def refuse(params: dict[str, Any], wanted: str, why: str) -> NoReturn:
    """Say why nothing is there to run."""
    if wanted == params["image"]:
        fail(params["variable"], f"{wanted} can't be pulled: {why}.", "Correct it, or let the host reach its registry.")
    fail(
        params["variable"],
        f"{wanted}, which {params['image']} stood for when it was first pulled, is not on the host and can't be pulled: {why}.",
        f"Bring it back, or take what the tag stands for now with -e {params['variable']}_renew=true.",
    )


def main() -> NoReturn:
    """Run."""
    module = AnsibleModule(
        argument_spec={
            "image": {"type": "str", "required": True},
            "variable": {"type": "str", "required": True},
            "record": {"type": "path", "required": True},
            "renew": {"type": "bool", "default": False},
            "pull": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    try:
        result = run(module)
    except FleetError as error:
        module.fail_json(msg=str(error), field=error.where)
    except OSError as error:
        module.fail_json(msg=f"{error.filename} can't be written: {error.strerror}.")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
