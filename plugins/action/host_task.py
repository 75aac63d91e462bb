# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a module that is not ours, such as Ansible's own, and fails where its host is not reached, in a play that can go on after that."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.gpuserve.fleet.plugins.plugin_utils import unreached

OPTIONS = {"module": {"type": "str", "required": True}, "args": {"type": "dict", "default": {}}}


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """Run a module of somebody else's on the host, as Ansible would, but for a host that is not reached."""

    _supports_check_mode = True

    @unreached.is_failure
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the module returns."""
        super().run(tmp, task_vars)
        _valid, asked = self.validate_argument_spec(OPTIONS)
        task = self._task.copy()
        task.action, task.args = asked["module"], {**self._defaults_of(asked["module"]), **asked["args"]}
        actions = self._shared_loader_obj.action_loader
        action = actions.get(
            # Some have an action of the same name, the others what runs a module.
            task.action if actions.has_plugin(task.action) else "ansible.builtin.normal",
            task=task,
            connection=self._connection,
            play_context=self._play_context,
            loader=self._loader,
            templar=self._templar,
            shared_loader_obj=self._shared_loader_obj,
        )
        try:
            result: dict[str, Any] = action.run(task_vars=task_vars)
        finally:
            # What it made on the host only it removes.
            action.cleanup()
        return result

    def _defaults_of(self, module: str) -> dict[str, Any]:
        """Return what a play's module_defaults say of a module, the innermost last: Ansible gives a task those of its own action alone."""
        found: dict[str, Any] = {}
        for defaults in self._task.module_defaults or []:
            found |= defaults.get(module) or {}
        return dict(self._templar.template(found)) if found else {}
