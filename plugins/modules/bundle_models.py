#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: bundle_models
short_description: Unpack the weights of a bundle into the cache that engines share
version_added: 0.2.0
description:
  - Fetches C(SHA256SUMS), the list of models and their files from a bundle that M(gpuserve.fleet.bundle_manifest) described, compares each
    file with its checksum, and lays it into the hub's cache at its commit, so that engines start offline.
  - What is there already is not fetched. What has to be fetched must fit on the disk, or nothing is.
  - A bundle without models is left alone, unless O(models) names one.
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  models:
    description:
      - The hub ids of the models to unpack; empty unpacks all that the bundle holds.
    type: list
    elements: str
    default: []
  cache_dir:
    description:
      - The cache that the engines share; the hub's is in C(huggingface/hub) below.
    type: path
    default: /var/lib/gpuserve/cache
  keep_free_bytes:
    description:
      - What must stay free on the disk.
    type: int
    default: 1073741824
extends_documentation_fragment:
  - gpuserve.fleet.attributes
  - gpuserve.fleet.bundle
attributes:
  diff_mode:
    support: none
"""

EXAMPLES = r"""
- name: Unpack the weights of the bundle
  gpuserve.fleet.bundle_models:
    url: https://mirror.internal
    sums_sha256: 3c9f0e6b5f0a1f3a2d7c8e9b0a1f3a2d7c8e9b0a1f3a2d7c8e9b0a1f3a2d7c8e
"""

RETURN = r"""
loaded:
  description: The models of which anything was missing, as C(ID@COMMIT).
  returned: success
  type: list
  elements: str
  sample: ["Qwen/Qwen3-8B@9216db5781bf21249d130ec9da846c4624c16137"]
missing_bytes:
  description: What was missing of them before.
  returned: success
  type: int
"""

import fcntl
import os
from collections.abc import Sequence
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import credentials
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import bundle
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import gib
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.bundle import ARGUMENTS, Bundle
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.cache import Cache
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.unlogged import UnloggedModule


def chosen(models: Sequence[bundle.Model], ids: Sequence[str]) -> list[bundle.Model]:
    """Return the models that are wanted of those that the bundle holds."""
    there = {model.id for model in models}
    if unknown := [model for model in ids if model not in there]:
        fail(
            "models",
            f"the bundle has no {unknown[0]}; it has {', '.join(sorted(there)) or 'none'}.",
            "Add it to airgap_models, and make the bundle again.",
        )
    return [model for model in models if not ids or model.id in ids]


def missing_files(cache: Cache, model: bundle.Model) -> list[bundle.ModelFile]:
    """Return the files that are not in the cache whole."""
    paths = [file.path for file in model.files]
    there, pending = cache.there(model.id, model.commit, paths), cache.pending(model.id, model.commit, paths)
    return [file for file in model.files if there.get(file.path) != file.size_bytes or file.path in pending]


def unpack(source: Bundle, cache: Cache, model: bundle.Model, file: bundle.ModelFile) -> None:
    """Fetch a file beside its place, compare it, and only then make it one of the commit."""
    blob = cache.blob(model.id, file.blob)
    part = blob.with_name(f"{blob.name}.gpuserve-part")
    blob.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.fetch(model.blob_name(file), str(part))
        os.chmod(part, 0o644)
        atomic.move(part, blob)
    finally:
        part.unlink(missing_ok=True)
    cache.link(model.id, model.commit, file.path, file.blob)
    cache.finish(model.id, model.commit, file.path)


def run(module: AnsibleModule) -> dict[str, Any]:
    """Read the lists, then fetch what is missing."""
    params = module.params
    source, cache = Bundle(params), Cache(params["cache_dir"])
    has_models = bool(params["models"]) or bundle.MODELS in source.sums
    models = chosen(bundle.read_models(source.read(bundle.MODELS)) if has_models else [], params["models"])
    missing = {model: files for model in models if (files := missing_files(cache, model))}
    # One blob may be several files.
    needed = sum({(model.id, file.blob): file.size_bytes for model in missing for file in missing[model]}.values())
    if missing and needed + params["keep_free_bytes"] > cache.free_bytes():
        fail(
            "cache_dir",
            f"{params['cache_dir']} has {gib(cache.free_bytes())} free, and {gib(needed)} of weights are missing there.",
            "Free that and 1 GiB more, or name a folder on a larger disk in vllm_stack_cache_dir.",
        )
    unnamed = [
        (model, name) for model in models for name in model.revisions if cache.commit_of(model.id, name) != model.commit
    ]
    if (missing or unnamed) and not module.check_mode:
        cache.folder.mkdir(parents=True, exist_ok=True)
        with open(cache.folder / ".gpuserve.lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for model, files in missing.items():
                for file in files:
                    unpack(source, cache, model, file)
            for model, name in unnamed:
                cache.name(model.id, name, model.commit)
    return {
        "changed": bool(missing or unnamed),
        "loaded": [f"{model.id}@{model.commit}" for model in missing],
        "missing_bytes": needed,
    }


def main() -> NoReturn:
    """Run, and turn our own errors into a sentence."""
    module = UnloggedModule(
        argument_spec={
            **ARGUMENTS,
            "models": {"type": "list", "elements": "str", "default": []},
            "cache_dir": {"type": "path", "default": "/var/lib/gpuserve/cache"},
            "keep_free_bytes": {"type": "int", "default": 1024**3},
        },
        supports_check_mode=True,
    )
    module.no_log_values.update(credentials.secrets(module.params))
    try:
        module.exit_json(**run(module))
    except FleetError as error:
        module.fail_json(msg=f"{error} What is there whole stays.", field=error.where)
    except OSError as error:
        module.fail_json(
            msg=f"cache_dir: {error.filename} can't be written ({error.strerror}): free space there, or name another folder in "
            "vllm_stack_cache_dir. What is there whole stays."
        )


if __name__ == "__main__":
    main()
