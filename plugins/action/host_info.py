# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fails where its host is not reached, in a play that can go on after that."""

from __future__ import annotations

from ansible_collections.gpuserve.fleet.plugins.plugin_utils.unreached import OnHost


class ActionModule(OnHost):
    """Run the module of the same name."""
