#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: bundle_images
short_description: Load the images of a bundle, checked before and after
version_added: 0.1.0
description:
  - Fetches C(SHA256SUMS), the list of images and the archives of a bundle that M(gpuserve.fleet.bundle_manifest) described, compares each
    with its checksum, loads it into Docker and compares what Docker calls it then with the identities in the list.
  - Images that are there already are not fetched.
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  images:
    description:
      - The images to load; empty loads all that the bundle holds.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - gpuserve.fleet.attributes
  - gpuserve.fleet.bundle
attributes:
  diff_mode:
    support: none
"""

EXAMPLES = r"""
- name: Load the images of the bundle
  gpuserve.fleet.bundle_images:
    url: https://mirror.internal
    sums_sha256: 3c9f0e6b5f0a1f3a2d7c8e9b0a1f3a2d7c8e9b0a1f3a2d7c8e9b0a1f3a2d7c8e
"""

RETURN = r"""
loaded:
  description: The images that were loaded.
  returned: success
  type: list
  elements: str
  sample: ["docker.io/library/debian:13-slim"]
"""

import os
import tempfile
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import credentials
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import bundle
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.bundle import ARGUMENTS, Bundle
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.unlogged import UnloggedModule


def image_id(module: AnsibleModule, name: str) -> str:
    """Ask Docker what it calls an image; "" where it has none of that name."""
    status, out, _err = module.run_command(["docker", "image", "inspect", "--format", "{{.Id}}", name])
    return out.strip() if status == 0 else ""


def load(module: AnsibleModule, source: Bundle, image: bundle.Image) -> None:
    """Fetch, compare, load, compare."""
    # Not below /tmp, which may be small and in memory: an engine's image takes 10 GB.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        path = os.path.join(folder, "image.tar")
        source.fetch(image.file, path)
        status, out, err = module.run_command(["docker", "load", "--quiet", "--input", path])
    if status != 0:
        fail(image.name, f"it can't be loaded: {(err or out).strip()}.", "Free some space, and check Docker.")
    there = image_id(module, image.name)
    if there not in image.ids:
        fail(
            image.name,
            f"it was loaded and is {there or 'not there'}, and the bundle says {', '.join(image.ids)}.",
            f"Run `docker image rm {image.name}`, and make the bundle again.",
        )


def run(module: AnsibleModule) -> dict[str, Any]:
    """Read the lists, then load what is missing."""
    source = Bundle(module.params)
    images = bundle.read_images(source.read(bundle.IMAGES))
    wanted = module.params["images"] or [image.name for image in images]
    unknown = [name for name in wanted if name not in {image.name for image in images}]
    if unknown:
        fail(
            "images",
            f"the bundle has no {unknown[0]}; it has {', '.join(image.name for image in images)}.",
            "Add it to airgap_images, and make the bundle again.",
        )
    missing = [image for image in images if image.name in wanted and image_id(module, image.name) not in image.ids]
    for image in missing if not module.check_mode else ():
        load(module, source, image)
    return {"changed": bool(missing), "loaded": [image.name for image in missing]}


def main() -> NoReturn:
    """Run, and turn our own errors into a sentence."""
    module = UnloggedModule(
        argument_spec={
            **ARGUMENTS,
            "images": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    module.no_log_values.update(credentials.secrets(module.params))
    try:
        result = run(module)
    except FleetError as error:
        module.fail_json(msg=str(error), field=error.where)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
