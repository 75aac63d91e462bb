#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: proof
short_description: Go through a proof of a host step by step, with the playbooks that a person would run
version_added: 0.3.0
description:
  - Says which steps of a proof are due, runs the playbooks of one, keeps what it showed in a file on the controller, and tells in the
    end what all of them showed. A later run goes on where an earlier one ended.
  - Runs on the controller. Playbooks are started with the inventory, the variables and the password files of this run.
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  state:
    description:
      - V(read) names the steps that are due. V(begun) says what a step does, if it is its turn. V(played) runs its playbooks, V(kept)
        writes down what it showed, V(told) returns the verdict.
    type: str
    choices: [read, begun, played, kept, told]
    required: true
  folder:
    description: Where outcomes and logs are kept on the controller.
    type: path
    required: true
  step:
    description: The step.
    type: str
    default: ""
  steps:
    description: The steps to do; all without it.
    type: list
    elements: str
    default: []
  began:
    description: RV(began) of V(read).
    type: float
    default: 0
  for_s:
    description: How long a run may take; no step begins that would likely take longer. 0 is any time.
    type: float
    default: 0
  models:
    description: The models of the host, as in C(vllm_stack_models).
    type: list
    elements: dict
    default: []
  tags:
    description: The tags that site.yml is limited to.
    type: list
    elements: str
    default: []
  outcome:
    description: What the step showed.
    type: dict
    default: {}
extends_documentation_fragment:
  - gpuserve.fleet.attributes.proves
"""

EXAMPLES = r"""
- name: Read which steps are due
  gpuserve.fleet.proof:
    state: read
    folder: "{{ inventory_dir }}/.gpuserve/proof/{{ inventory_hostname }}"
  register: proof
"""

RETURN = r"""
due:
  description: The steps that are due.
  returned: for V(read)
  type: list
  elements: str
is_begun:
  description: Whether a step was done before.
  returned: for V(read)
  type: bool
began:
  description: When this run began, as seconds since 1970.
  returned: for V(read)
  type: float
is_due:
  description: Whether it is the step's turn.
  returned: for V(begun)
  type: bool
why:
  description: Why it is not.
  returned: for V(begun), where it is not
  type: str
before:
  description: What is done to the host before, as O(gpuserve.fleet.proof_host#module:action); empty for nothing.
  returned: for V(begun)
  type: str
during:
  description: What goes on on the host meanwhile, likewise.
  returned: for V(begun)
  type: str
probes:
  description: What is looked at afterwards, as O(gpuserve.fleet.proof_host#module:probes).
  returned: for V(begun)
  type: list
  elements: str
model:
  description: The model that is killed, or asked.
  returned: for V(begun)
  type: str
outcome:
  description: What the playbooks showed.
  returned: for V(played)
  type: dict
line:
  description: What all steps showed, for programs.
  returned: for V(told)
  type: dict
screen:
  description: The same for people, line by line.
  returned: for V(told)
  type: list
  elements: str
page:
  description: The same as a page.
  returned: for V(told)
  type: str
"""
