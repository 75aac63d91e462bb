# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Adds an apt repository; a host that has it by what a probe just read there is not asked again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import deb_repository
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.known_host import KnownHost


class ActionModule(KnownHost):
    """Compare with what is known, and run the module of the same name where that differs."""

    def in_place(self, asked: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the answer where repository, key and files are there, and are not to be read again."""
        if boolean(asked.get("again", False)) or not deb_repository.is_in_place(asked, known):
            return None
        return {"tried": False, "replaced": [], "diff": []}
