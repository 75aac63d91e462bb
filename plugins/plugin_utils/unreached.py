# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a host was not reached, in the words of whoever tried, for actions that go on without it."""

from __future__ import annotations

# What Ansible puts before what ssh said, with and without pipelining.
_BEFORE = ("Failed to connect to the host via ssh:", "Make sure this host can be reached over ssh:")


def reason(error: Exception) -> str:
    """Return what was said last: ssh warns of other things before it."""
    said = str(error).strip()
    for words in _BEFORE:
        said = said.rpartition(words)[2].strip() or said
    lines = said.splitlines() or [type(error).__name__]
    return lines[-1].strip().rstrip(".")
