#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: bundle_manifest
short_description: Write down what a bundle for hosts without a network holds
version_added: 0.1.0
description:
  - Writes C(images/images.json), the identities of the images whose archives lie in the bundle, and C(SHA256SUMS) over every file.
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  path:
    description:
      - The bundle's folder.
    type: path
    required: true
  images:
    description:
      - The names of the images whose archives lie in it.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - gpuserve.fleet.attributes
attributes:
  diff_mode:
    support: none
"""

EXAMPLES = r"""
- name: Write down what the bundle holds
  gpuserve.fleet.bundle_manifest:
    path: /srv/bundle
    images: [docker.io/library/debian:13-slim]
"""

RETURN = r"""
sums_sha256:
  description: The checksum of C(SHA256SUMS) itself, to be carried by another way than the bundle.
  returned: success
  type: str
  sample: 3c9f0e6b5f0a1f3a2d7c8e9b0a1f3a2d7c8e9b0a1f3a2d7c8e9b0a1f3a2d7c8e
images:
  description: The images, with the file and the identities of each.
  returned: success
  type: list
  elements: dict
  sample: [{name: "debian:13-slim", file: images/debian_13-slim.tar, ids: ["sha256:0f3a..."]}]
"""

import hashlib
import os
import tarfile
from dataclasses import asdict
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import bundle
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic


def read_ids(path: str, image: str) -> tuple[str, ...]:
    """Read an archive's lists; the layers stay where they are."""
    texts = {"manifest.json": "", "index.json": ""}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.name in texts and member.isfile():
                    handle = archive.extractfile(member)
                    texts[member.name] = handle.read(1 << 20).decode("utf-8", "replace") if handle else ""
    except (OSError, tarfile.TarError) as error:
        fail(str(path), f"it can't be read ({error}).", "Remove it, and make the bundle again.")
    return bundle.image_ids(image, texts["manifest.json"], texts["index.json"])


def run(module: AnsibleModule) -> dict[str, Any]:
    """Read, then write what differs."""
    folder = module.params["path"]
    images = []
    for name in module.params["images"]:
        file = bundle.archive_name(name)
        images.append(bundle.Image(name, file, read_ids(os.path.join(folder, file), name)))
    files = {bundle.IMAGES: bundle.write_images(images)}
    digests = {bundle.IMAGES: hashlib.sha256(files[bundle.IMAGES].encode()).hexdigest()}
    for parent, _folders, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            relative = os.path.relpath(path, folder)
            if relative not in (bundle.SUMS, bundle.IMAGES):
                digests[relative] = module.sha256(path)
    files[bundle.SUMS] = bundle.write_sums(digests)
    changed = [name for name, text in files.items() if HostFiles().read(os.path.join(folder, name)) != text]
    if not module.check_mode:
        for name in changed:
            atomic.make_folder(os.path.dirname(os.path.join(folder, name)), 0o755)
            atomic.write(os.path.join(folder, name), files[name], 0o644)
    return {
        "changed": bool(changed),
        "images": [asdict(image) for image in images],
        "sums_sha256": hashlib.sha256(files[bundle.SUMS].encode()).hexdigest(),
    }


def main() -> NoReturn:
    """Run, and turn our own errors into a sentence."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "images": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    try:
        result = run(module)
    except FleetError as error:
        module.fail_json(msg=str(error), field=error.where)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
