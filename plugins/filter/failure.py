# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: failure
short_description: A failure as one sentence after the other
version_added: 0.1.0
author:
  - gpuserve.fleet contributors (@gpuserve)
description:
  - Makes of where, what and the remedy what a person reads, in the shape that the modules of this collection have.
options:
  _input:
    description:
      - C(where) (the variable that it is about, or the host), C(what) is wrong, and the C(remedy), each a text.
    type: dict
    required: true
"""

EXAMPLES = r"""
- ansible.builtin.assert:
    that: my_port != 22
    fail_msg: "{{ _failure | gpuserve.fleet.failure }}"
  vars:
    _failure:
      where: my_port
      what: 22 is the SSH daemon's.
      remedy: Choose another. Nothing was changed.
"""

RETURN = r"""
_value:
  description: The text, in one line.
  type: str
"""

from collections.abc import Callable, Mapping

from ansible.errors import AnsibleFilterError

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError

PARTS = ("where", "what", "remedy")


def failure(parts: Mapping[str, str]) -> str:
    """Return the text of a failure."""
    if sorted(parts) != sorted(PARTS):
        raise AnsibleFilterError(f"failure: it takes {', '.join(PARTS)}, not {', '.join(sorted(parts))}.")
    where, what, remedy = (" ".join(str(parts[part]).split()) for part in PARTS)
    return str(FleetError(where, what, remedy))


class FilterModule:
    """The filter, as Ansible looks for it."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """Return it by its name."""
        return {"failure": failure}
