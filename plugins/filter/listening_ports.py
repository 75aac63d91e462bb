# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: listening_ports
short_description: Ports that something listens on, from the kernel's socket table
version_added: 0.1.0
author:
  - gpuserve.fleet contributors (@gpuserve)
description:
  - Reads the text of C(/proc/net/tcp) and C(/proc/net/tcp6).
options:
  _input:
    description:
      - The text.
    type: str
    required: true
"""

EXAMPLES = r"""
taken: "{{ sockets | gpuserve.fleet.listening_ports }}"
"""

RETURN = r"""
_value:
  description: The ports, sorted.
  type: list
  elements: int
"""

import re
from collections.abc import Callable
from typing import Any

# The local address, the remote one, and the state: 0A is LISTEN (include/net/tcp_states.h).
_LISTENING = re.compile(r"^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} 0A ", re.MULTILINE)


def listening_ports(text: str) -> list[int]:
    """Ports in state LISTEN."""
    return sorted({int(port, 16) for port in _LISTENING.findall(text)})


class FilterModule:
    """The filter, as Ansible looks for it."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"listening_ports": listening_ports}
