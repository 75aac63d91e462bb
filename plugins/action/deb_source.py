# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Adds an apt repository; a host that has it by what a probe just read there is not asked again."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import deb_repository
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
        if known and not boolean(asked.get("again", False)) and deb_repository.is_in_place(plain(asked), known):
            return {**result, "changed": False, "tried": False, "replaced": [], "diff": []}
        return {**result, **self._execute_module(module_args=asked, task_vars=task_vars)}
