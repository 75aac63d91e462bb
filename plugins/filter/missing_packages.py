# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: missing_packages
short_description: Name the wanted packages that are absent or there in another version
version_added: 0.1.0
author:
  - gpuserve.fleet contributors (@gpuserve)
description:
  - Compares package names, with or without a version pattern, with what M(gpuserve.fleet.host_info) found.
options:
  _input:
    description:
      - The wanted packages, as V(name) or V(name=version-pattern).
    type: list
    elements: str
    required: true
  installed:
    description:
      - RV(gpuserve.fleet.host_info#module:packages) of that module, the part C(installed).
    type: dict
    required: true
positional: installed
"""

EXAMPLES = r"""
missing: "{{ ['docker-ce=5:29.10.0*'] | gpuserve.fleet.missing_packages(host.packages.installed) }}"
"""

RETURN = r"""
_value:
  description: Those of the wanted packages that have to be installed.
  type: list
  elements: str
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import distribution


def missing_packages(wanted: Sequence[str], installed: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Compare by the same rule as the module."""
    there = {
        name: distribution.Package(version=package["version"], held=package["held"])
        for name, package in installed.items()
    }
    return distribution.missing_packages(wanted, there)


class FilterModule:
    """Offer the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name it."""
        return {"missing_packages": missing_packages}
