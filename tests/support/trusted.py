# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables as Ansible hands them over, where text may be a template; newer cores trust none that was not marked."""

from __future__ import annotations

from typing import Any

from ansible import template as templating


def trusted(value: Any) -> Any:
    """Return a value as an inventory's file hands it over."""
    if isinstance(value, dict):
        return {key: trusted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [trusted(item) for item in value]
    trust = getattr(templating, "trust_as_template", None)
    return trust(value) if trust and isinstance(value, str) else value
