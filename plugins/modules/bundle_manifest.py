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
  - With O(models) also C(models/models.json), which of the hub's cache below C(models) is which model's, and what is known of each
    in C(model_info).
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
  models:
    description:
      - The models whose weights M(gpuserve.fleet.model_fetch) put into C(models) below the bundle, as it returns them.
    type: list
    elements: dict
    default: []
  model_info:
    description:
      - What is known of each, as M(gpuserve.fleet.model_info) returns it.
    type: dict
    default: {}
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
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import bundle
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.cache import Cache
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.kept import Kept
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


def read_model(cache: Cache, model: str, commit: str, infos: Sequence[Mapping[str, Any]]) -> bundle.Model:
    """Return what of the cache is a model's at a commit."""
    snapshot = cache.snapshot(model, commit)
    files = tuple(
        bundle.ModelFile(str(path.relative_to(snapshot)), path.resolve().name, path.stat().st_size)
        for path in sorted(snapshot.rglob("*"))
        if path.is_file()
    )
    if not files:
        fail("models", f"{snapshot} holds nothing of {model}.", "Fetch its weights into the bundle first.")
    asked = [str(info["revision"]) for info in infos if (info["id"], info["commit"]) == (model, commit)]
    return bundle.Model(model, commit, tuple(sorted({*cache.refs(model, commit), *asked} - {commit})), files)


def is_carried(name: str, is_link: bool) -> bool:
    """Tell whether a file is one of the bundle: in the cache locks and marks are not, and a link is its blob once more."""
    in_cache = name.startswith(f"{bundle.CACHE}/")
    return not (in_cache and (is_link or any(part.startswith(".") for part in name.split("/"))))


def run(module: AnsibleModule) -> dict[str, Any]:
    """Read, then write what differs."""
    folder = module.params["path"]
    images = []
    for name in module.params["images"]:
        file = bundle.archive_name(name)
        images.append(bundle.Image(name, file, read_ids(os.path.join(folder, file), name)))
    files = {bundle.IMAGES: bundle.write_images(images)}
    infos = [info for info in module.params["model_info"].values() if info.get("commit")]
    if module.params["models"] or os.path.exists(os.path.join(folder, bundle.MODELS)):
        cache = Cache(os.path.join(folder, bundle.CACHE))
        models = [read_model(cache, one["model"], one["commit"], infos) for one in module.params["models"]]
        files[bundle.MODELS] = bundle.write_models(models)
    kept = Kept(os.path.join(folder, bundle.MODEL_INFO))
    new_infos = [info for info in infos if kept.differs(info)]
    for info in () if module.check_mode else new_infos:
        kept.put(info)
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()}
    for parent, _folders, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            relative = str(path.relative_to(folder))
            if relative not in (bundle.SUMS, *files) and is_carried(relative, path.is_symlink()):
                digests[relative] = module.sha256(str(path))
    files[bundle.SUMS] = bundle.write_sums(digests)
    changed = [name for name, text in files.items() if HostFiles().read(os.path.join(folder, name)) != text]
    if not module.check_mode:
        for name in changed:
            atomic.make_folder(os.path.dirname(os.path.join(folder, name)), 0o755)
            atomic.write(os.path.join(folder, name), files[name], 0o644)
    return {
        "changed": bool(changed or new_infos),
        "images": [asdict(image) for image in images],
        "sums_sha256": hashlib.sha256(files[bundle.SUMS].encode()).hexdigest(),
    }


def main() -> NoReturn:
    """Run, and turn our own errors into a sentence."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "images": {"type": "list", "elements": "str", "default": []},
            "models": {"type": "list", "elements": "dict", "default": []},
            "model_info": {"type": "dict", "default": {}},
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
