# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Merges options into daemon.json; a host whose file has them by what a probe just read there is not asked again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import daemon_json
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.plain import plain


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """Compare with what is known, and run the module of the same name where that differs."""

    _requires_connection = True
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the module returns."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        asked = dict(self._task.args)
        known = plain(asked.pop("known", None) or {})
        if known and (merge := _unchanged(plain(asked), known)):
            options = {"effect": "none", "kept": list(merge.kept), "options": merge.options, "validated": False}
            return {**result, "changed": False, **options}
        return {**result, **self._execute_module(module_args=asked, task_vars=task_vars)}


def _unchanged(asked: Mapping[str, Any], known: Mapping[str, Any]) -> daemon_json.Merge | None:
    """Return what is merged where file and record are that already."""
    required, defaults = daemon_json.asked(
        asked.get("required") or {},
        asked.get("if_set") or {},
        asked.get("defaults") or {},
        boolean(asked.get("swarm_active", False)),
    )
    keep = frozenset(tuple(str(name).split(".")) for name in asked.get("keep") or ())
    options, record = known["options"], known["record"]
    merge = daemon_json.merge(options, required, defaults, daemon_json.parse_ours(record), keep)
    return merge if merge.options == options and daemon_json.store_ours(merge.ours) == record else None
