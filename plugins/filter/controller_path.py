# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: controller_path
short_description: A path on the controller as whoever typed it meant it
version_added: 0.2.0
author:
  - gpuserve.fleet contributors (@gpuserve)
description:
  - Tasks that run on the controller begin in the folder of the playbook. A path that is not whole is meant from where
    C(ansible-playbook) was called.
options:
  _input:
    description:
      - The path, or several as a list or as one text with commas between them.
    type: raw
    required: true
  several:
    description:
      - Whether a list is returned.
    type: bool
    default: false
positional: several
"""

EXAMPLES = r"""
dest: "{{ 'usage.csv' | gpuserve.fleet.controller_path }}"
"""

RETURN = r"""
_value:
  description: The whole path, or a list of such.
  type: raw
"""

import os
from collections.abc import Callable
from typing import Any


def controller_path(value: Any, several: bool = False) -> str | list[str]:
    """Return the path from where the playbook was called, or several."""
    if not several:
        return os.path.abspath(os.path.expanduser(str(value)))
    texts = value if isinstance(value, list) else str(value).split(",")
    return [os.path.abspath(os.path.expanduser(str(text).strip())) for text in texts]


class FilterModule:
    """The filter, as Ansible looks for it."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name it."""
        return {"controller_path": controller_path}
