# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: to_bytes
short_description: Bytes in a size as people write it
version_added: 0.1.0
author:
  - gpuserve.fleet contributors (@gpuserve)
description:
  - Turns V(6GiB), V(512MiB), V(20GB) or a plain number into bytes.
options:
  _input:
    description:
      - The size.
    type: raw
    required: true
"""

EXAMPLES = r"""
size: "{{ '6GiB' | gpuserve.fleet.to_bytes }}"
"""

RETURN = r"""
_value:
  description: Bytes.
  type: int
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import parse_size


def to_bytes(value: Any) -> int:
    """Bytes in a size."""
    try:
        return parse_size(value)
    except FleetError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The filter, as Ansible looks for it."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"to_bytes": to_bytes}
