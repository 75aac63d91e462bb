#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: fleet_plan
short_description: Plan the memory of all hosts of a run at once
version_added: 0.2.0
description:
  - Plans as M(gpuserve.fleet.memory_plan) does, for each host of the run by its own variables, on the controller and in one process. Hosts
    whose variables come to the same, and which serve the same models, are planned once.
  - Looks models up as M(gpuserve.fleet.model_info) does. That something does not fit is an answer, not a failure.
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  hosts:
    description:
      - The hosts.
    type: list
    elements: str
    required: true
  placement:
    description:
      - RV(gpuserve.fleet.inventory_check#module:placement) of that module.
    type: dict
    default: {}
  members:
    description:
      - RV(gpuserve.fleet.inventory_check#module:members) of that module. Each host of a model over several is planned by itself.
    type: dict
    default: {}
  hub:
    description:
      - Whether the hub may be asked.
    type: bool
    default: true
  folders:
    description:
      - Whether folders of this machine stand for those of the same path on the hosts.
    type: bool
    default: false
  refresh:
    description:
      - Ask the hub anew which commit each model has.
    type: bool
    default: false
  gpu:
    description:
      - Cards of the catalogue to plan for, whatever a host has or names, with a comma between two. A host of the CPU build has none.
    type: str
    default: ""
extends_documentation_fragment:
  - gpuserve.fleet.attributes.reads
"""

EXAMPLES = r"""
- name: Render the plans of all hosts
  gpuserve.fleet.fleet_plan:
    hosts: "{{ ansible_play_hosts }}"
  run_once: true
  register: planned
"""

RETURN = r"""
plans:
  description: The plan of each host, as M(gpuserve.fleet.memory_plan) returns it. A host that serves no model has no cards in its plan.
  returned: success
  type: dict
groups:
  description: Hosts that are planned alike, C(hosts), with their C(preset), C(text) for people, C(ports), and whether they are C(feasible).
  returned: success
  type: list
  elements: dict
together:
  description: What hosts serve together of models that are C(distributed), a sentence each where all of its hosts were planned.
  returned: success
  type: list
  elements: str
misfits:
  description: The hosts that what is asked for does not fit.
  returned: success
  type: list
  elements: str
models:
  description: What is known of each model, for P(gpuserve.fleet.with_model_info#filter).
  returned: success
  type: dict
notes:
  description: What was done without, a sentence each.
  returned: success
  type: list
  elements: str
"""
