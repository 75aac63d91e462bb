#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: driver_info
short_description: Read a host's NVIDIA cards and driver, and decide what it needs
version_added: 0.1.0
description:
  - Finds the cards in sysfs, without lspci, and reads which driver is loaded, on disk and in user space.
  - Chooses source, branch, kernel-module flavour and packages for what O(request) asks for, or fails in one sentence
    with the value to use instead.
  - Decides whether the driver needs nothing, a fresh kernel module, a reboot, or repair. Changes nothing.
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  request:
    description:
      - What is asked for. Without it nothing is chosen, and the cards and the driver are only read.
    type: dict
    suboptions:
      source:
        description: Where the packages come from.
        type: str
        choices: [auto, cuda_repo, distro]
        default: auto
      branch:
        description: The driver branch; V(0) leaves it to the module.
        type: int
        default: 0
      version:
        description: The exact driver version; empty takes the newest of the branch.
        type: str
        default: ""
      flavour:
        description: Which kernel modules to use.
        type: str
        choices: [auto, open, proprietary]
        default: auto
      compute_only:
        description: Leave out what only a desktop needs.
        type: bool
        default: true
      mok_enrolled:
        description: Whether the key that DKMS signs with is enrolled in this host's firmware.
        type: bool
        default: false
      require_card:
        description: Whether a host without a card is an error.
        type: bool
        default: true
      ubuntu_kernel:
        description: The kernel flavour whose prebuilt modules are used with Ubuntu's own packages.
        type: str
        default: generic
  nvml:
    description:
      - Whether to ask the NVML library, too, whether the driver works.
    type: bool
    default: false
  root:
    description:
      - Where the host's files begin; a tree of fixtures in tests.
    type: path
    default: /
extends_documentation_fragment:
  - gpuserve.fleet.attributes.reads
"""

EXAMPLES = r"""
- name: See what this host would get
  gpuserve.fleet.driver_info:
    request:
      branch: 580
  register: driver
"""

RETURN = r"""
cards:
  description: The NVIDIA cards on the PCI bus.
  returned: always
  type: list
  elements: dict
  sample:
    - address: "0000:01:00.0"
      device_id: "2b85"
      name: NVIDIA GeForce RTX 5090
      generation: Blackwell
      open_modules: required
      pcie_width: 16
      pcie_max_width: 16
      bar_bytes: 34359738368
choice:
  description: What the host gets, and why.
  returned: when O(request) is given
  type: dict
  sample:
    source: cuda_repo
    branch: 580
    flavour: open
    packages: [libnvidia-compute-580, nvidia-dkms-580-open, nvidia-utils-580, nvidia-compute-utils-580]
    pin: 580.*
    repository_folder: ubuntu2404
    repository_architecture: x86_64
    repository_key: 3bf863cc.pub
    repository_fingerprint: EB693B3035CD5710E231E123A4B469963BF863CC
    dkms: true
    module_stream: ""
    reasons: ["branch 580: the default here"]
decision:
  description: What the driver on this host needs, V(none), V(module_reload), V(reboot) or V(fail), and why.
  returned: always
  type: dict
  sample: {action: none, reason: "driver 580.178.04 is loaded, on disk and in the library", notes: [], next_boot: ""}
persistence:
  description: >-
    Whether the persistence daemon is there, which drop-in its unit needs to do what it is for (empty where none), and
    whether that is in place.
  returned: always
  type: dict
  sample:
    unit: true
    path: /etc/systemd/system/nvidia-persistenced.service.d/10-gpuserve.conf
    drop_in: ""
    in_place: true
state:
  description: The versions the decision rests on.
  returned: always
  type: dict
  sample: {kernel: 6.8.0-90-generic, loaded: 580.178.04, on_disk: 580.178.04, userspace: 580.178.04, nouveau: false}
secure_boot:
  description: Whether Secure Boot is on, read from the firmware's variable.
  returned: always
  type: bool
  sample: false
nvml:
  description: What the NVML library says.
  returned: when O(nvml) is true
  type: dict
  sample: {status: 0, sentence: "", devices: 1, driver_version: 580.178.04, names: [NVIDIA GeForce RTX 5090]}
"""

import platform
from dataclasses import asdict
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import distribution as host
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import driver, driver_state, pci
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import gpu
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles

HEADER = "# Written by gpuserve.fleet.nvidia_driver: a driver that unloads costs every next start seconds."


def describe(card: pci.Card) -> dict[str, Any]:
    """Make a card plain data."""
    return {
        **asdict(card),
        "device_id": f"{card.device_id:04x}",
        "name": card.name,
        "generation": card.generation.name,
        "open_modules": card.generation.open_modules,
    }


def run(module: AnsibleModule) -> dict[str, Any]:
    """Read, choose, decide."""
    files = HostFiles(module.params["root"])

    def command(arguments: list[str]) -> tuple[int, str, str]:
        program = module.get_bin_path(arguments[0])
        return module.run_command([program, *arguments[1:]]) if program else (127, "", f"no {arguments[0]}")

    cards = gpu.cards(files)
    secure_boot = gpu.secure_boot(files)
    state = gpu.read_driver_state(files, command, platform.release())
    result: dict[str, Any] = {
        "cards": [describe(card) for card in cards],
        "secure_boot": secure_boot,
        "state": asdict(state),
        "decision": asdict(driver_state.decide(state)),
        "persistence": gpu.read_persistence(files, HEADER),
    }
    if module.params["request"] is not None:
        text = files.read("/etc/os-release") or files.read("/usr/lib/os-release") or ""
        request = driver.Request(**module.params["request"])
        distribution = host.parse_os_release(text)
        choice = driver.choose(request, cards, distribution, platform.machine(), secure_boot)
        result["choice"] = asdict(choice)
    if module.params["nvml"]:
        answer = gpu.nvml()
        status = answer["status"]
        result["nvml"] = {
            **answer,
            "sentence": "" if status == driver_state.NVML_OK else driver_state.nvml_sentence(status),
        }
    return result


def main() -> NoReturn:
    """Run, and turn our own errors into a sentence."""
    request = {
        "source": {"type": "str", "choices": ["auto", "cuda_repo", "distro"], "default": "auto"},
        "branch": {"type": "int", "default": 0},
        "version": {"type": "str", "default": ""},
        "flavour": {"type": "str", "choices": ["auto", "open", "proprietary"], "default": "auto"},
        "compute_only": {"type": "bool", "default": True},
        "mok_enrolled": {"type": "bool", "default": False},
        "require_card": {"type": "bool", "default": True},
        "ubuntu_kernel": {"type": "str", "default": "generic"},
    }
    module = AnsibleModule(
        argument_spec={
            "request": {"type": "dict", "options": request},
            "nvml": {"type": "bool", "default": False},
            "root": {"type": "path", "default": "/"},
        },
        supports_check_mode=True,
    )
    module.run_command_environ_update = {"LC_ALL": "C", "LANGUAGE": "C"}
    try:
        result = run(module)
    except FleetError as error:
        module.fail_json(msg=str(error), field=error.field)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
