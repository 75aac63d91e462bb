# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows a person text as it is, whatever callback is set; programs that read a run find it in the result instead."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.gpuserve.fleet.plugins.plugin_utils.plain import plain
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.shown import is_read_by_a_program, shown


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """Print lines; nothing is asked of a host."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Show the text, or hand it to a callback that only programs read."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        lines = shown(plain(self._task.args.get("text", "")))
        return {**result, "changed": False, **({"text": lines} if is_read_by_a_program() else {})}
