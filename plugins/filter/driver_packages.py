# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: driver_packages
short_description: Name the packages of NVIDIA's driver, as patterns for a part of its repository
version_added: 0.1.0
author:
  - gpuserve.fleet contributors (@gpuserve)
description:
  - The list that the role nvidia_driver pins by, so that a bundle for an air gap holds what the role will ask for.
options:
  _input:
    description:
      - The pattern of versions.
    type: str
    required: true
"""

EXAMPLES = r"""
packages: "{{ '595.*' | gpuserve.fleet.driver_packages }}"
"""

RETURN = r"""
_value:
  description: Patterns as M(gpuserve.fleet.apt_subset) takes them; some names are Debian's alone, and optional.
  type: list
  elements: dict
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_packages import PATTERNS


def driver_packages(pin: str) -> list[dict[str, Any]]:
    """Give each pattern of the set the versions of the pin."""
    return [{"name": name, "version": pin, "optional": name != PATTERNS[0]} for name in PATTERNS]


class FilterModule:
    """Offer the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name it."""
        return {"driver_packages": driver_packages}
