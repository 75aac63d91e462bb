# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: credential_refusals
short_description: Variables that hold credentials where others would read them
version_added: 0.1.0
author:
  - gpuserve.fleet contributors (@gpuserve)
description:
  - An address with an account and a password would stand in files that everybody on a host may read, in process lists and in messages. So
    would a private key where a public one belongs.
options:
  _input:
    description:
      - What each variable holds, by its name.
    type: dict
    required: true
"""

EXAMPLES = r"""
refused: "{{ {'docker_engine_repository_url': docker_engine_repository_url} | gpuserve.fleet.credential_refusals }}"
"""

RETURN = r"""
_value:
  description: A sentence for each variable that does, with the remedy and without the credentials.
  type: list
  elements: str
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.credentials import refusals


class FilterModule:
    """The filter, for Ansible to find."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name it."""
        return {"credential_refusals": refusals}
