# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every probe of a host takes that a role begins with: what the controller refuses by, and which of apt's files are read."""

from __future__ import annotations

from typing import Any

PROBE: dict[str, Any] = {
    "addresses": {"type": "dict", "default": {}},
    "refuse": {"type": "bool", "default": False},
    "apt_files": {"type": "list", "elements": "path", "default": []},
}
