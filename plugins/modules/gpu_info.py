#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: gpu_info
short_description: Read the NVIDIA cards of a host, their memory and who holds it
version_added: 0.1.0
description:
  - Asks NVML, the driver's own library, through C(nvidia-ml-py).
  - A host without a card or driver is an answer, not a failure, unless O(require) is set.
author:
  - gpuserve.fleet contributors (@gpuserve)
requirements:
  - Python 3.10 or newer
  - nvidia-ml-py, for O(device=cuda)
options:
  device:
    description:
      - V(cpu) returns the host's memory as the one "card", with uuid V(cpu), for engines that compute on the CPU.
    type: str
    choices: [cuda, cpu]
    default: cuda
  require:
    description:
      - Whether to fail when no card answers.
    type: bool
    default: false
extends_documentation_fragment:
  - gpuserve.fleet.attributes.reads
"""

EXAMPLES = r"""
- name: Read the cards
  gpuserve.fleet.gpu_info:
  register: cards
"""

RETURN = r"""
gpus:
  description: The cards, in NVML's order.
  returned: always
  type: list
  elements: dict
  contains:
    index: {description: NVML's index., type: int}
    uuid: {description: "The card's UUID, or V(cpu).", type: str}
    name: {description: The card's name., type: str}
    memory_total_bytes: {description: "Bytes that processes can use: NVML's total less what the driver reserves.", type: int}
    memory_free_bytes: {description: Bytes free now., type: int}
    compute_capability: {description: "Compute capability, as V(12.0).", type: str}
    driver_version: {description: The driver's version., type: str}
    cuda_version: {description: The newest CUDA that the driver serves., type: str}
    processes: {description: "Processes that hold memory: C(pid), C(used_bytes) and C(container), its id or null.", type: list}
on_bus:
  description: The names of the cards that PCI shows, where none answers and the catalogue knows each of them.
  returned: always
  type: list
  elements: dict
  sample: [{name: NVIDIA GeForce RTX 5090}]
reason:
  description: Why RV(gpus) is empty.
  returned: when no card answers
  type: str
"""

from typing import NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._io import gpus
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles


def main() -> NoReturn:
    module = AnsibleModule(
        argument_spec={
            "device": {"type": "str", "choices": ["cuda", "cpu"], "default": "cuda"},
            "require": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    result = {"changed": False, **gpus.read(module.params["device"], HostFiles("/"))}
    if not result["gpus"] and module.params["require"]:
        module.fail_json(
            msg=f"{result['reason']} Run the nvidia_driver role, or see its troubleshooting page.", **result
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
