#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: bringup
short_description: Start the engines of a stack, each gated before and proved after
version_added: 0.1.0
description:
  - Starts what is new, changed or not serving, and leaves alone what serves.
  - Before a start it holds the card's lock and waits until memory is free and still; after it, an engine is ready once C(/health) answers,
    C(/v1/models) names the model, one token was generated and NVML shows what was planned.
  - An engine that is replaced ends its requests first. Where old and new fit together, a surge instance of the new one proves
    itself and serves before the old one is touched.
  - A set that served whole is remembered as proved. If a later one fails, the proved one comes back and is proved again.
  - What left the stack is stopped and removed. Containers that are not of this stack are never touched.
  - Its action plugin shows what happens while it happens.
author:
  - gpuserve.fleet contributors (@gpuserve)
requirements:
  - Python 3.10 or newer
  - docker, the Python package
  - nvidia-ml-py, for O(device=cuda)
options:
  services:
    description:
      - RV(gpuserve.fleet.compose_stack#module:services) of that module. Not needed with O(rollback).
    type: list
    elements: dict
    default: []
  plan:
    description:
      - RV(gpuserve.fleet.memory_plan#module:plan) of that module. Not needed with O(rollback).
    type: dict
    default: {}
  endpoints:
    description:
      - RV(gpuserve.fleet.compose_stack#module:endpoints) of that module, kept with the set for whoever puts a gateway in front of it.
    type: list
    elements: dict
    default: []
  rollback:
    description:
      - Go back to the last set that served whole, in place of O(services) and O(plan). Where that one serves already, to the one before it.
    type: bool
    default: false
  project_name:
    description:
      - Name of the Compose project.
    type: str
    default: gpuserve
  project_dir:
    description:
      - Folder of the compose file, and of the sets that proved themselves.
    type: path
    required: true
  state_dir:
    description:
      - Folder where measurements, logs of failed starts and times of earlier ones are kept.
    type: path
    default: /var/lib/gpuserve
  lock_dir:
    description:
      - Folder of the cards' locks.
    type: path
    default: /run/gpuserve/locks
  drain_dir:
    description:
      - Folder through which a gateway on this host is told which endpoints get nothing new. Unset, or where it is not there, there is
        no gateway.
    type: path
  gateway_interval_s:
    description:
      - How often that gateway probes its engines; what it is told, and an engine that came, it knows after two probes.
    type: float
    default: 0.0
  keys_dir:
    description:
      - Folder through which a gateway on this host is told which key the engine of each endpoint asks for, while O(api_key) is renewed and
        not all have the new one yet. Unset, or where it is not there, there is no gateway.
    type: path
  device:
    description:
      - What the engines compute on; decides how memory is read.
    type: str
    choices: [cuda, cpu]
    default: cuda
  api_key:
    description:
      - Key that the engines ask for.
    type: str
    default: ""
  mode:
    description:
      - V(serial) starts one engine at a time on a card, V(parallel) all at once where the plan has exact KV bytes for each;
        V(auto) takes the second where it can, by the host's cores and memory too, and falls back to the first once when memory runs out.
    type: str
    choices: [auto, serial, parallel]
    default: auto
  max_parallel:
    description:
      - Engines that may start at the same time; 0 takes one for each two cores of the host on each card.
      - Never more than the host's memory has room for, at 1.5 GiB for an engine's server and each of its cards, and 1 GiB for tensors.
    type: int
    default: 0
  order:
    description:
      - Order of the starts, by planned memory or as listed.
    type: str
    choices: [smallest_first, largest_first, listed]
    default: smallest_first
  surge_offset:
    description:
      - A surge instance listens this many ports above its model's port; 0 never starts one.
    type: int
    default: 0
  min_headroom_bytes:
    description:
      - Bytes that stay free on each card.
    type: int
    default: 536870912
  tolerance_bytes:
    description:
      - Bytes that an engine may hold above its plan, by NVML.
    type: int
    default: 536870912
  settle_s:
    description:
      - Seconds for which a card's free memory must not move before a start, read four times a second all the while.
      - What engines of this stack take and give back while they start does not count against one whose KV bytes are exact.
    type: float
    default: 2.0
  gate_timeout_s:
    description:
      - Seconds to wait for memory before a start is given up.
    type: float
    default: 120.0
  start_timeout_s:
    description:
      - Seconds from start to the first token.
    type: float
    default: 7200.0
  stall_timeout_s:
    description:
      - Seconds without a line in an engine's log and without a byte read or received.
    type: float
    default: 600.0
  phase_limits_s:
    description:
      - Seconds that a start may stay in a phase, by phase (C(created), C(loading), C(loaded), C(profiled), C(cache), C(graphs),
        C(initialized), C(listening)), in place of those that the collection knows.
    type: dict
    default: {}
  token_timeout_s:
    description:
      - Seconds to wait for the one token that proves an engine.
    type: float
    default: 60.0
  drain_s:
    description:
      - Seconds that an engine gets to end its requests before it is replaced.
    type: float
    default: 60.0
  lock_wait_s:
    description:
      - Seconds to wait for another run to finish.
    type: float
    default: 900.0
  docker_wait_s:
    description:
      - Seconds to wait for a Docker Engine that went away in the middle.
    type: float
    default: 60.0
  stop_grace_s:
    description:
      - Seconds between asking an engine to end and ending it.
    type: int
    default: 30
  probe_only:
    description:
      - Return RV(work) and touch nothing if there is anything to do; the result, if not.
      - The action plugin asks so before it starts the work in the background.
    type: bool
    default: false
  memory_seen:
    description:
      - RV(memory) of the run with O(probe_only) that came right before, so that its probe counts for O(settle_s).
    type: dict
    default: {}
  progress_file:
    description:
      - Where to write a line for each change, for the action plugin to show.
    type: path
  peers_file:
    description:
      - Where the action plugin writes what other hosts of a group tell of their parts of it.
    type: path
    version_added: 0.3.0
  anew:
    description:
      - Models over several hosts of which another host starts its part, so that this one does, too.
    type: list
    elements: str
    default: []
    version_added: 0.3.0
  together:
    description:
      - The hosts with which this one changes. The action plugin waits for none of them that failed in a task before this one.
    type: list
    elements: str
    default: []
    version_added: 0.3.0
  came_by:
    description:
      - What each of O(together) has registered without a failure by the time that it comes to this task.
    type: list
    elements: str
    default: []
    version_added: 0.3.0
  boot_file:
    description:
      - Where RV(at_boot) is to stand; nothing is written there.
    type: path
extends_documentation_fragment:
  - gpuserve.fleet.attributes
attributes:
  diff_mode:
    details:
      - A line for each engine that would be started, replaced or stopped, why, and whether it fits.
"""

EXAMPLES = r"""
- name: Bring the stack up
  gpuserve.fleet.bringup:
    services: "{{ stack.services }}"
    plan: "{{ planned.plan }}"
    project_dir: /opt/gpuserve/stack

- name: Go back to the set that served before
  gpuserve.fleet.bringup:
    rollback: true
    project_dir: /opt/gpuserve/stack
"""

RETURN = r"""
work:
  description: Whether there is anything to do.
  returned: with O(probe_only)
  type: bool
memory:
  description: What was read of the cards' memory last, for O(memory_seen).
  returned: with O(probe_only), where there is anything to do
  type: dict
leftovers:
  description: What would be stopped and removed, since it left the stack.
  returned: with O(probe_only)
  type: list
  elements: str
gap:
  description: What is said beforehand of models that nobody serves while they are replaced, since no surge instance fits beside them.
  returned: with O(probe_only) and in check mode
  type: str
mode:
  description: How engines were started, V(serial) or V(parallel), and why.
  returned: always
  type: dict
  sample: {mode: serial, reason: "one core for each engine is not there"}
replaced:
  description: Whether the set that serves took the place of another one that served whole, to which O(rollback) goes back.
  returned: without O(probe_only) and check mode
  type: bool
all_ready_s:
  description: Seconds from the module's start until all models had made a token; null where nothing was started or something failed.
  returned: without O(probe_only) and check mode
  type: float
models:
  description: A model each.
  returned: always
  type: list
  elements: dict
  contains:
    name: {description: The model., type: str}
    action: {description: "V(kept), V(started), V(failed), V(stopped) or, in check mode, V(start).", type: str}
    reason: {description: Why., type: str}
    ready_s: {description: Seconds from start to the first token of the start that serves., type: float}
    timeline: {description: "Seconds from the container's start to the first line of each phase of its log, and to C(ready).", type: dict}
    planned_bytes: {description: What the plan says that it holds on all its cards., type: int}
    measured_bytes: {description: What it used when it was ready (NVML; on a CPU its share of the host's memory)., type: int}
    cards: {description: "The same for each of its cards: C(uuid), C(planned_bytes), C(measured_bytes).", type: list, elements: dict}
    kv_cache_tokens: {description: Tokens in its KV cache by its own log., type: int}
    max_concurrency: {description: Full-length requests at once by its own log., type: float}
    image: {description: The image as asked for., type: str}
    image_id: {description: The image that ran., type: str}
serving:
  description: The models that serve now.
  returned: always
  type: list
  elements: str
failures:
  description: >-
    What did not start, with C(cause), C(remedy), C(after_s) (seconds from its start), C(noticed_s) (seconds since its container ended; null
    where it still ran), C(log) (the last lines) and C(log_file).
  returned: when something did not start
  type: list
  elements: dict
restored:
  description: The models of the proved set that serve again after a failure; empty where there was none to come back to.
  returned: when something did not start
  type: list
  elements: str
missing:
  description: What did not come back of the proved set, as RV(failures).
  returned: when something did not start
  type: list
  elements: dict
endpoints:
  description: What was handed over as O(endpoints), of the set that serves.
  returned: always
  type: list
  elements: dict
services:
  description: What was handed over as O(services), of the set that serves.
  returned: always
  type: list
  elements: dict
plan:
  description: What was handed over as O(plan), of the set that serves.
  returned: always
  type: dict
groups:
  description:
    - Of each model that this host serves together with others, C(group) (the same on all of them), C(rank), C(hosts) (how many) and
      C(settled) (whether its part can stay as it is).
  returned: with O(probe_only) and in check mode
  type: dict
generating:
  description: The models of that set that make tokens, and can be asked for one.
  returned: always
  type: list
  elements: str
at_boot:
  description: What systemd-tmpfiles has to make at a boot for the engines of that set; empty where they listen on ports.
  returned: always
  type: str
boot_file_in_place:
  description: Whether O(boot_file) holds RV(at_boot) already.
  returned: always
  type: bool
report:
  description: RV(models) with what a person asks for, and where each model answers; left as C(report.json) in O(state_dir), too.
  returned: always
  type: list
  elements: dict
"""

import os
from typing import NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout import failure
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.docker import DockerError
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import text_files
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.bringup import ARGUMENTS, Bringup, Refused
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.lock import LockHeld


def main() -> NoReturn:
    os.umask(0o077)
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        supports_check_mode=True,
    )
    try:
        result = Bringup(module.params, module.check_mode).run()
    except (FleetError, Refused) as error:
        module.fail_json(msg=str(error))
    except LockHeld as error:
        module.fail_json(msg=f"Another run holds a card: {error}. Wait for it, or end it. Nothing was changed.")
    except DockerError as error:
        module.fail_json(msg=f"{error} Run the playbook again: it goes on from what is there.")
    except OSError as error:
        module.fail_json(
            msg=f"{error.filename or 'A file'} can't be written ({error.strerror}): free space or mend its folder, then run again."
        )
    boot_file = {"path": module.params["boot_file"], "content": result.get("at_boot", ""), "mode": "0644"}
    result["boot_file_in_place"] = bool(boot_file["path"]) and text_files.is_in_place(HostFiles(), [], [boot_file])
    for warning in result.pop("warnings", []):
        module.warn(warning)
    if result.get("failures"):
        msg = failure.message(
            result["failures"], result.get("restored", []), result["serving"], result.get("missing", [])
        )
        module.fail_json(msg=msg, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
