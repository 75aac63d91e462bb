#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: inventory_check
short_description: Find every mistake of an inventory before any host is touched
version_added: 0.2.0
description:
  - Reads the variables of all hosts of a run on the controller and checks them by what the roles say of them, and then together, models,
    ports, sizes, keys, TLS and secrets.
  - Refuses variables that look like ours and are none, and names the one that was meant; a group without a host; a misspelt tag; and
    what is undefined, or encrypted with a password that was not given.
  - Decides which hosts serve a model whose C(placement) is for some of them, for all hosts of the inventory together. A host that is in
    quarantine (C(gpuserve_quarantine) or M(gpuserve.fleet.quarantine)) gets none.
  - All mistakes of a run are said at once, each once. Nothing is asked of a host, and nothing is changed.
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  hosts:
    description:
      - The pattern of hosts that the playbook is for, as a text or a list.
    type: raw
    required: true
  names_only:
    description:
      - Check names of variables, hosts and tags alone.
    type: bool
    default: false
  need_models:
    description:
      - Whether a host without C(vllm_stack_models) is a mistake.
    type: bool
    default: false
  groups:
    description:
      - What the playbook does with hosts that serve a model together (C(distributed)).
      - V(whole) is for one that changes them at the same time. A run with some hosts of a group alone is a mistake, and one with fewer
        forks than hosts that wait for each other.
      - V(none) is for one that takes a host after the other. Any host of a group is a mistake.
    type: str
    choices: [any, whole, none]
    default: any
  edges:
    description:
      - Whether the playbook changes the hosts of the group C(edge) as well. Their variables are checked then, and a limit that leaves some
        of them alone is no mistake.
    type: bool
    default: false
  steps:
    description:
      - How many hosts the playbook takes at once, for RV(order); a number, a share of all, or a list of them whose last one repeats.
    type: raw
    default: 1
    version_added: 0.3.0
  steps_named:
    description:
      - The variable that says so.
    type: str
    default: gpuserve_rollout_steps
    version_added: 0.3.0
  asked:
    description:
      - Whether RV(asked) is returned.
    type: bool
    default: false
    version_added: 0.3.0
extends_documentation_fragment:
  - gpuserve.fleet.attributes.reads
"""

EXAMPLES = r"""
- name: Check the inventory
  gpuserve.fleet.inventory_check:
    hosts: gpu_hosts
    need_models: true
  run_once: true
"""

RETURN = r"""
hosts:
  description: The hosts of the run.
  returned: success
  type: list
  elements: str
  sample: [gpu01]
placement:
  description: The hosts of each model whose C(placement) is for some hosts only. A limit changes nothing in it.
  returned: success
  type: dict
  sample: {"qwen": ["gpu01", "gpu03"]}
routes:
  description: Of RV(placement), the hosts that answer for each model; of a model that is C(distributed) the first one alone.
  returned: success
  type: dict
members:
  description:
    - Of each model that is C(distributed) over several hosts, what its hosts are told, C(rank) (the first one serves), C(address) and
      C(master_address), by host.
  returned: success
  type: dict
  sample: {"large": {"gpu01": {"rank": 0, "address": "192.0.2.11", "master_address": "192.0.2.11"}}}
together:
  description: Of each host of such a group, the hosts with which it changes, itself among them.
  returned: success
  type: dict
  sample: {"gpu01": ["gpu01", "gpu02"], "gpu02": ["gpu01", "gpu02"]}
order:
  description:
    - The hosts of the run and how many of them each step takes, for a play's C(hosts) and C(serial). Those that change together are in one
      step, whatever its size.
  returned: success
  type: dict
  sample: {"hosts": ["gpu01", "gpu02", "gpu03"], "batches": [2, 1]}
headless:
  description:
    - The hosts that have a part of such a model and nothing that they answer for. They have no gateway, and no edge has a route to them.
  returned: success
  type: list
  elements: str
  sample: [gpu02]
quarantine:
  description:
    - The hosts that are out of service and why, by C(gpuserve_quarantine) or by the register that M(gpuserve.fleet.quarantine) keeps.
  returned: success
  type: dict
  sample: {"gpu03": "Xid 79 on Friday"}
asked:
  description:
    - A digest of what each host is asked for, for M(gpuserve.fleet.last_applied). None of one that serves a model together with others, and
      an empty one where each run does something, as with hooks, or where a variable needs the host's facts.
  returned: success; empty without O(asked)
  type: dict
told:
  description: The same as a sentence a model, every host's included; empty where no model has such a rule.
  returned: success
  type: list
  elements: str
  sample: ["qwen: 2 hosts: gpu01, gpu03"]
"""
