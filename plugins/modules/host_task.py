#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_task
short_description: Run a module on a host that may be lost meanwhile
version_added: 0.3.0
description:
  - Runs any module with its own options, with check mode and a diff where it has them, and returns what that returns.
  - In a play with the variable C(_unreached_is_failure), a host that is not reached fails, where Ansible would take it out of the run
    without C(rescue), and end a run in which it was all of a batch. The plays of this collection that change hosts in steps are such.
  - A task that takes a failure as an answer, with C(failed_when), looks at RV(unreached), which is none.
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  module:
    description:
      - The module's full name.
    type: str
    required: true
  args:
    description:
      - Its options.
    type: dict
    default: {}
extends_documentation_fragment:
  - gpuserve.fleet.attributes
"""

EXAMPLES = r"""
- name: Stop the agent that watches the box
  gpuserve.fleet.host_task:
    module: ansible.builtin.systemd_service
    args:
      name: agent.service
      state: stopped
"""

RETURN = r"""
unreached:
  description: V(true) where the host was not reached.
  returned: where it was not reached, in a play that takes that as a failure
  type: bool
  sample: true
"""
