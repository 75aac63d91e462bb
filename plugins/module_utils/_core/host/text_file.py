# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a small text file of ours holds on a host, and its mode where nobody names one."""

from __future__ import annotations

MODE = "0644"


def whole(content: str) -> str | None:
    """Return what the file holds in the end; None where it is removed, which is what no text says."""
    text = content.strip()
    return f"{text}\n" if text else None
