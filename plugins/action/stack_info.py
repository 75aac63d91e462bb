# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what a stack finds on its host, and refuses a Python that is too old and a Docker that does not answer in the same task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack import preflight
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import unreached
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.refusal import refused

PYTHON = {"gather_subset": ["!all", "!min", "python"]}


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """Run the module of the same name; whose Python it was is a fact of the host from then on."""

    _requires_connection = True
    _supports_check_mode = True

    @unreached.is_failure
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the module returns, or why the host can't have a stack at all."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        self._variables = task_vars or {}
        asked = dict(self._task.args)
        needs_compose = boolean(asked.pop("needs_compose", False)) and not self._task.check_mode
        found: dict[str, Any] = self._execute_module(module_args=asked, task_vars=self._variables)
        # With it the controller would keep 33 KB of each host, the files' texts, until the run ends.
        found.pop("invocation", None)
        name = str(self._variables.get("inventory_hostname", ""))
        # An old Python may know no module of ours: then one that it knows is asked.
        version = self._version() if found.get("failed") else found["python"]["version"]
        reason = preflight.old_python(name, version) if version else None
        if reason is None and needs_compose and not found.get("failed"):
            reason = preflight.no_compose(name, found["docker"])
        if reason is not None:
            return {**result, **refused(reason)}
        return {**result, **found, **self._facts(found)}

    def _version(self) -> Sequence[int]:
        """Return the version of the host's Python; nothing where even that can't be asked."""
        answer = self._execute_module("ansible.builtin.setup", module_args=PYTHON, task_vars=self._variables)
        version = (answer.get("ansible_facts") or {}).get("ansible_python", {}).get("version", {})
        return [int(version[part]) for part in ("major", "minor")] if version else []

    def _facts(self, found: dict[str, Any]) -> dict[str, Any]:
        """Return the Python that the host's tasks have, where nobody has asked for it yet, as ansible.builtin.setup names it."""
        if found.get("failed") or "python" in (self._variables.get("ansible_facts") or {}):
            return {}
        major, minor = found["python"]["version"]
        python = {"executable": found["python"]["executable"], "version": {"major": major, "minor": minor}}
        return {"ansible_facts": {"ansible_python": python}}
