#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: rollout
short_description: Change many hosts in steps, and stop when too many fail
version_added: 0.2.0
description:
  - Says in which order hosts change and how many at once, for a play's C(hosts) and C(serial), and keeps in a journal on the controller
    how each fared, so that an interrupted rollout goes on where it stopped.
  - Asks nothing of a host, and changes nothing but its journal.
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  state:
    description:
      - V(planned) returns order and steps, and begins the journal. V(narrowed) returns both without the hosts that
        M(gpuserve.fleet.last_applied) found as the run before left them, and notes these as done. V(started) is for the begin of a step,
        V(done) for its end. V(failed) notes that the task's host failed. V(read) says how it went. Of the steps in O(hosts) and O(batches),
        for V(started) of those before O(step), a host that began and is neither done nor failed counts as failed, and so do all hosts of a
        step that none of them began.
    type: str
    choices: [planned, narrowed, started, done, failed, read]
    required: true
  journal:
    description:
      - The journal, a file on the controller.
    type: path
    required: true
  hosts:
    description:
      - The hosts of the run, for V(planned); RV(hosts) and RV(skipped) of that for V(narrowed); and the last RV(hosts) for V(started) and
        V(read).
    type: list
    elements: str
    default: []
  batches:
    description:
      - RV(batches) of V(planned), for V(started) and V(read). Left out, each host counts as what was noted of it.
    type: list
    elements: int
    default: []
    version_added: 0.3.0
  step:
    description:
      - The hosts of a step that are there. V(started) notes that they begin unless RV(stopped), and V(done) that those of them that did
        not fail have what they were asked for.
    type: list
    elements: str
    default: []
    version_added: 0.3.0
  placement:
    description:
      - RV(gpuserve.fleet.inventory_check#module:placement) of that module.
    type: dict
    default: {}
  members:
    description:
      - RV(gpuserve.fleet.inventory_check#module:members) of that module; hosts that serve a model together are always in one step.
    type: dict
    default: {}
    version_added: 0.3.0
  quarantine:
    description:
      - RV(gpuserve.fleet.inventory_check#module:quarantine) of that module.
    type: dict
    default: {}
  steps:
    description:
      - How many hosts change at once in each step, as a number or a share of all; the last one repeats.
    type: raw
    default: [1, 25%, 100%]
  canary_label:
    description:
      - Hosts in a group of this name, or with it among their C(gpuserve_labels), go first.
    type: str
    default: canary
  resume:
    description:
      - Go on with the rollout in the journal. Hosts that are done are left out unless something else is asked of them by now.
    type: bool
    default: false
  max_failed:
    description:
      - How many hosts may fail before the rollout stops.
    type: int
    default: 0
  asked:
    description:
      - RV(asked) of V(planned), for V(narrowed) and V(done).
    type: dict
    default: {}
  is_rollout:
    description:
      - RV(is_rollout) of V(planned), for V(narrowed).
    type: bool
    default: true
    version_added: 0.3.0
  reason:
    description:
      - Why the host failed.
    type: str
    default: ""
extends_documentation_fragment:
  - gpuserve.fleet.attributes.reads
"""

EXAMPLES = r"""
- name: Render the order of the rollout
  gpuserve.fleet.rollout:
    state: planned
    journal: "{{ inventory_dir }}/.gpuserve/rollout.json"
    hosts: "{{ ansible_play_hosts }}"
  run_once: true
  register: rollout
"""

RETURN = r"""
hosts:
  description: The hosts in the order in which they change.
  returned: for V(planned) and V(narrowed)
  type: list
  elements: str
batches:
  description: How many of them change in each step.
  returned: for V(planned) and V(narrowed)
  type: list
  elements: int
  sample: [1, 10, 29]
skipped:
  description: The hosts that an earlier run is done with.
  returned: for V(planned) and V(narrowed)
  type: list
  elements: str
asked:
  description: A digest of what each host is asked for.
  returned: for V(planned)
  type: dict
kept:
  description: The hosts that are as the run before left them.
  returned: for V(narrowed)
  type: list
  elements: str
is_rollout:
  description: Whether there is more than one host, or a rollout goes on, and the run is no dry one.
  returned: for V(planned)
  type: bool
notes:
  description: What a person should know before it begins, a sentence each.
  returned: for V(planned) and V(narrowed)
  type: list
  elements: str
stopped:
  description: Whether no further host may be changed.
  returned: for other states
  type: bool
failures:
  description: The hosts that failed, and why.
  returned: for other states
  type: dict
screen:
  description: What is told at the end of a rollout in which hosts failed, line by line.
  returned: for other states
  type: list
  elements: str
"""
