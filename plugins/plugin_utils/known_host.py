# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An action whose host is not asked again for what a probe just read there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.gpuserve.fleet.plugins.plugin_utils import unreached
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.plain import plain


class KnownHost(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """Compare with what is `known`, and run the module of the same name where that differs or nothing is known."""

    _requires_connection = True
    _supports_check_mode = True

    @unreached.is_failure
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the module returns."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        asked = dict(self._task.args)
        known = plain(asked.pop("known", None) or {})
        there = self.in_place(plain(asked), known) if known else None
        if there is not None:
            return {**result, "changed": False, **there}
        return {**result, **self._execute_module(module_args=asked, task_vars=task_vars)}

    def in_place(self, asked: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the answer where nothing is to be done, and None where the host has to be asked."""
        raise NotImplementedError
