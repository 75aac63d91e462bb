# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Merges options into daemon.json; a host whose file has them by what a probe just read there is not asked again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import daemon_json
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.known_host import KnownHost


class ActionModule(KnownHost):
    """Compare with what is known, and run the module of the same name where that differs."""

    def in_place(self, asked: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the answer where the file and the record of what is ours in it are as they would be written."""
        wanted = daemon_json.Asked.of(asked, boolean(asked.get("swarm_active", False)))
        merge = daemon_json.unchanged(wanted, known)
        if merge is None:
            return None
        return {"effect": "none", "kept": list(merge.kept), "options": merge.options, "validated": False}
