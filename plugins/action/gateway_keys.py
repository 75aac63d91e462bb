# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Adds, revokes, rotates and lists the keys of the gateway in their file on the controller; no host is asked."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import keys, registry
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import private_files
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.key_registry import Registry
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.plain import plain

# Keys of clients; beside them lie first keys, by the names of hosts.
CLIENTS = "clients"


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """Change the list, and put a new key where only its owner reads it."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the keys as a table, and where a new one is; never a key."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        args = plain(self._task.args)
        try:
            wanted = registry.change(args.get("change") or {}, args.get("hosts") or (), time.time())
            store = Registry(Path(args["keys_file"]), self._loader)
            with store.locked():
                return {**result, **self._run(store, wanted, Path(args["key_dir"]) / CLIENTS)}
        except FleetError as error:
            return {**result, "failed": True, "msg": f"{error} Nothing was changed.", "field": error.where}

    def _run(self, store: Registry, wanted: registry.Change | None, folder: Path) -> dict[str, Any]:
        before = store.entries()
        if wanted is None or registry.change_of_first(wanted, [str(entry["name"]) for entry in before]) in (
            "revoke",
            "rotate",
        ):
            return {"changed": False, "table": registry.table(before), "key_file": ""}
        path = folder / wanted.name
        key = "" if wanted.verb == "revoke" else private_files.new_key()
        after = registry.changed(before, wanted, keys.digest(key))
        if not self._task.check_mode:
            # The key first: one that is listed and lies nowhere would have to be made anew.
            if key:
                private_files.write(path, key)
            store.write(after)
            if wanted.name not in [entry["name"] for entry in after]:
                path.unlink(missing_ok=True)
        return {
            "changed": after != before,
            "table": registry.table(after),
            "key_file": str(path) if key else "",
        }
