# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Probes a host's container toolkit, and refuses in the same task."""

from __future__ import annotations

from ansible_collections.gpuserve.fleet.plugins.plugin_utils.host_probe import HostProbe


class ActionModule(HostProbe):
    """Run the module of the same name."""
