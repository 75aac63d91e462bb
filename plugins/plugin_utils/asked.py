# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each host of a run is asked for, as a digest: whatever a run of site.yml makes of a host follows from it and from the host itself.

In it are the values of all variables of ours, files of the controller that any of them names, what is placed on the host, which edges there
are, and the collection's own code. What can't be read here, such as a variable that is made of a host's facts, leaves the host without one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.inventory import names
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import collection_variables
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.collection_variables import COLLECTION
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.fleet import PLACES
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.host_templates import Template
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.plain import plain

# How a rollout goes, and not what it brings.
_OF_THE_RUN = (
    "gpuserve_hosts",
    "gpuserve_rollout_steps",
    "gpuserve_canary_label",
    "gpuserve_max_failed",
    "gpuserve_resume",
    "gpuserve_take_over",
    "gpuserve_full_run",
)
# With any of them each run does something, whatever it did before.
_EACH_TIME = (
    "gpuserve_before_host",
    "gpuserve_after_host",
    "gateway_image_renew",
    "vllm_stack_engine_image_renew",
)
_CODE = ("plugins", "roles", "playbooks", "meta", "galaxy.yml", "MANIFEST.json")
_CONNECTION = ("inventory_hostname", "ansible_host")
# Longer texts are no paths.
_LONGEST_PATH = 4096


def of_the_play(variables: Mapping[str, Any], raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return our variables that a play sets, as one that imports ours does: no inventory has them so. Roles set none of them there."""
    return {
        name: value
        for name, value in variables.items()
        if name.startswith(names.PREFIXES) and name in _public() and plain(value) != plain(raw.get(name))
    }


@cache
def _public() -> frozenset[str]:
    declared = (collection_variables.specifications(), collection_variables.playbooks())
    return frozenset(name for of_each in declared for options in of_each.values() for name in options)


class Asked:
    """The hosts of a run. declared is what roles declare, of whatever host."""

    def __init__(self, declared: Mapping[str, Any], template_of: Callable[[Mapping[str, Any]], Template]) -> None:
        self._declared = declared
        self._template_of = template_of
        # By fingerprint: variables that are equal as written come to the same.
        self._known: dict[str, str] = {}

    def digest(self, raw: Mapping[str, Any], fingerprint: str, more: Mapping[str, Any]) -> str:
        """Return the digest of a host by its variables as written; empty where there can be none. more is what is decided of the host."""
        if fingerprint not in self._known:
            self._known[fingerprint] = self._of_variables(raw)
        shared = self._known[fingerprint]
        own = {name: str(raw.get(name, "")) for name in _CONNECTION}
        return _sum([shared, code(), own, more]) if shared else ""

    def _of_variables(self, raw: Mapping[str, Any]) -> str:
        template = self._template_of(raw)
        wished: dict[str, Any] = {}
        for name in sorted({*self._declared, *raw}):
            if not name.startswith(names.PREFIXES) or name in _OF_THE_RUN:
                continue
            try:
                wished[name] = template(name, raw[name] if name in raw else self._declared[name])
            except FleetError:
                if name in raw:
                    return ""
                # A default that is made of facts of the host: they are the host's own, and told there.
                wished[name] = str(self._declared[name])
        if any(wished.get(name) not in (None, "", False) for name in _EACH_TIME):
            return ""
        places = [str(raw[name]) for name in PLACES if name in raw]
        return _sum([wished, {path: _content(path) for path in sorted({*_paths(wished, places)})}])


def _paths(value: Any, places: Sequence[str]) -> Iterator[str]:
    """Walk over the files of the controller that a value names, as they are written or beside the inventory."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _paths(item, places)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _paths(item, places)
    elif isinstance(value, str) and 0 < len(value) < _LONGEST_PATH and "\n" not in value and "\0" not in value:
        for place in ("", *places):
            path = os.path.join(place, os.path.expanduser(value))
            if os.path.isfile(path):
                yield path


@cache
def _content(path: str) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        return f"unreadable: {error.errno}"


@cache
def code() -> str:
    """Return a digest of the collection's code: what it makes of the same variables may be something else after an update."""
    files = sorted(path for name in _CODE for path in (COLLECTION / name, *(COLLECTION / name).rglob("*")))
    told = hashlib.sha256()
    for path in files:
        if path.is_file() and path.suffix != ".pyc":
            told.update(f"{path.relative_to(COLLECTION)}\0{_content(str(path))}\0".encode())
    return told.hexdigest()


def _sum(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
