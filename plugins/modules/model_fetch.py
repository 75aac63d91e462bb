#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: model_fetch
short_description: Fetch the weights of models before any engine starts
version_added: 0.2.0
description:
  - Has every file that the engines need in the cache that they share, at the commit that was planned, all models at once.
  - Each large file is checked by its hash. A transfer from which nothing arrives is begun again; what is there whole stays.
  - What has to be fetched must fit on the disk, or nothing is.
  - Models that are folders are left alone.
author:
  - gpuserve.fleet contributors (@gpuserve)
requirements:
  - Python 3.10 or newer
  - huggingface_hub, where anything is missing
options:
  models:
    description:
      - The models with what M(gpuserve.fleet.model_info) read of each as C(info). One without is fetched at what its C(revision) is now.
    type: list
    elements: dict
    required: true
  cache_dir:
    description:
      - The cache that the engines share; the hub's is in C(huggingface/hub) below.
    type: path
    default: /var/lib/gpuserve/cache
  state_dir:
    description:
      - Where the file is kept that the action plugin reads the progress from.
    type: path
    default: /var/lib/gpuserve
  endpoint:
    description:
      - A mirror of the hub; empty for the public one.
    type: str
    default: ""
  token_file:
    description:
      - A file on the host, for its owner alone, with a token that may read gated and private models.
    type: path
  workers:
    description:
      - How many files are fetched at once.
    type: int
    default: 8
  stall_timeout_s:
    description:
      - How long nothing may arrive of a file before its transfer is begun again.
    type: float
    default: 60
  keep_free_bytes:
    description:
      - What must stay free on the disk.
    type: int
    default: 1073741824
  remove_other_commits:
    description:
      - Whether other commits of these models are removed from the cache once theirs is there. A set that served before can't come back then
        without fetching again.
    type: bool
    default: false
  probe_only:
    description:
      - Whether to only tell what is missing.
    type: bool
    default: false
  progress_file:
    description:
      - Where to write a line for each change, for the action plugin to show.
    type: path
extends_documentation_fragment:
  - gpuserve.fleet.attributes.reads
attributes:
  diff_mode:
    details:
      - What is missing is told by its size.
"""

EXAMPLES = r"""
- name: Fetch the weights
  gpuserve.fleet.model_fetch:
    models: "{{ vllm_stack_models | gpuserve.fleet.with_model_info(read.models) }}"
    cache_dir: /var/lib/gpuserve/cache
"""

RETURN = r"""
models:
  description: Each repository, with C(names) of the models, C(model), C(commit), C(bytes) on the disk and C(missing_bytes) before.
  returned: success
  type: list
  elements: dict
work:
  description: Whether anything was missing.
  returned: success
  type: bool
free_bytes:
  description: What was free on the disk.
  returned: success
  type: int
removed_commits:
  description: Commits that were removed on request.
  returned: success
  type: list
  elements: str
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from ansible.module_utils.basic import missing_required_lib

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.fetch import Meter
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.progress import ENDED
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.secrets import masked
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.client import Hub, HuggingFaceHub
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.download import Options
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.fetching import Fetching
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.unlogged import UnloggedModule


def token_of(path: str | None) -> str:
    """Return the token in a file that nobody else may read."""
    if not path:
        return ""
    file = Path(path)
    try:
        if file.stat().st_mode & 0o077:
            fail("token_file", f"{path} may be read by others.", "Give it mode 0600.")
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        fail("token_file", f"{path} can't be read ({error.strerror}).", "")


@contextmanager
def narrator(path: str | None) -> Iterator[Callable[[str], None]]:
    """Give what writes a line where the action plugin reads it. The file's lock tells the plugin that somebody is at work."""
    if not path:
        yield lambda _: None
        return
    with open(path, "a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        def say(line: str) -> None:
            file.write(f"{line}\n")
            file.flush()

        try:
            yield say
        finally:
            say(ENDED)


def run(params: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """Look what is missing, and fetch it."""
    token = token_of(params["token_file"])

    def connect() -> Hub:
        try:
            return HuggingFaceHub(params["endpoint"], token or False)
        except ImportError:
            fail("", missing_required_lib("huggingface_hub"), "Set vllm_stack_venv to a Python that has it.")

    options = Options(params["endpoint"], token, params["workers"], params["stall_timeout_s"])
    fetching = Fetching(params["cache_dir"], params["models"], connect, options)
    missing = fetching.missing_files()
    result: dict[str, Any] = {
        "changed": False,
        "work": bool(missing),
        "models": fetching.report(),
        "free_bytes": fetching.cache.free_bytes(),
        "removed_commits": [],
    }
    if missing:
        fetching.check_disk(params["keep_free_bytes"])
    if params["probe_only"] or check_mode:
        return {**result, "changed": bool(missing) and check_mode}
    with narrator(params["progress_file"]) as say:
        if missing:
            fetching.cache.folder.mkdir(parents=True, exist_ok=True)
            with open(fetching.cache.folder / ".gpuserve.lock", "w", encoding="ascii") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                fetching.fetch(say, Meter(fetching.missing_bytes(), time.monotonic()))
        removed = fetching.remove_other_commits() if params["remove_other_commits"] else []
    return {**result, "changed": bool(missing or removed), "removed_commits": removed}


def main() -> NoReturn:
    """Run."""
    module = UnloggedModule(
        argument_spec={
            "models": {"type": "list", "elements": "dict", "required": True},
            "cache_dir": {"type": "path", "default": "/var/lib/gpuserve/cache"},
            "state_dir": {"type": "path", "default": "/var/lib/gpuserve"},
            "endpoint": {"type": "str", "default": ""},
            "token_file": {"type": "path", "no_log": False},
            "workers": {"type": "int", "default": 8},
            "stall_timeout_s": {"type": "float", "default": 60},
            "keep_free_bytes": {"type": "int", "default": 1024**3},
            "remove_other_commits": {"type": "bool", "default": False},
            "probe_only": {"type": "bool", "default": False},
            "progress_file": {"type": "path"},
        },
        supports_check_mode=True,
    )
    params = dict(module.params)
    module.params["models"] = masked(params["models"])
    # A token that somebody left on the host is not ours to use.
    os.environ["HF_HUB_DISABLE_IMPLICIT_TOKEN"] = "1"
    try:
        module.exit_json(**run(params, module.check_mode))
    except FleetError as error:
        module.fail_json(msg=f"{error} Nothing that serves was touched.", field=error.where)
    except OSError as error:
        module.fail_json(
            msg=f"cache_dir: {error.filename} can't be written ({error.strerror}): free space there, or name another folder in "
            "vllm_stack_cache_dir. Nothing that serves was touched."
        )


if __name__ == "__main__":
    main()
