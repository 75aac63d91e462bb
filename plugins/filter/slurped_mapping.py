# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: slurped_mapping
short_description: Read a file of JSON that M(ansible.builtin.slurp) fetched, if it is one
version_added: 0.1.0
author:
  - gpuserve.fleet contributors (@gpuserve)
description:
  - Files that are remembered between runs help and are never needed. One that is absent, empty, cut short or of another shape is an empty
    mapping, and no error.
options:
  _input:
    description:
      - What M(ansible.builtin.slurp) returned, whether it failed or not.
    type: dict
    required: true
"""

EXAMPLES = r"""
calibration: "{{ slurped | gpuserve.fleet.slurped_mapping }}"
"""

RETURN = r"""
_value:
  description: The mapping that the file holds, or an empty one.
  type: dict
"""

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any


def slurped_mapping(result: Any) -> dict[str, Any]:
    """Read what is there, and nothing where there is nothing to read."""
    content = result.get("content") if isinstance(result, Mapping) else None
    if not content:
        return {}
    try:
        found = json.loads(base64.b64decode(content))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


class FilterModule:
    """The filter, for Ansible to find."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name it."""
        return {"slurped_mapping": slurped_mapping}
