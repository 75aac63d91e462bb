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
  - Finds the cards in sysfs, without lspci, and reads which driver is loaded, on disk, in user space and in packages, and whose it is.
  - Chooses source, branch, kernel-module flavour and packages for what O(request) asks for, says what is missing, or fails in one
    sentence with the value to use instead.
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
        description: Where the packages come from; V(host) leaves the driver that is there as it is.
        type: str
        choices: [auto, cuda_repo, distro, host]
        default: auto
      branch:
        description: The driver branch; V(0) keeps the installed one, or takes the newest long-term one that the repository has.
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
        description: The kernel flavour whose prebuilt modules are used with Ubuntu's own packages; V(auto) takes the running kernel's.
        type: str
        default: auto
      extra_packages:
        description: Packages to install with the driver.
        type: list
        elements: str
        default: []
      upgrade:
        description: Whether to take the newest version within the pin.
        type: bool
        default: false
      allow_downgrade:
        description: Whether an older version than the installed one may be taken.
        type: bool
        default: false
      allow_held:
        description: Whether packages that somebody put on hold may change.
        type: bool
        default: false
      reboot:
        description: As the role's O(ignore:nvidia_driver_reboot).
        type: str
        choices: [auto, always, never]
        default: auto
      repository_url:
        description: Where NVIDIA's repositories begin; tells their packages from the distribution's.
        type: str
        default: https://developer.download.nvidia.com/compute/cuda/repos
  files:
    description:
      - Where the role keeps what it writes beside the driver. With O(request), RV(pins) and RV(due) are told by them.
    type: dict
    version_added: 0.2.0
    suboptions:
      preferences:
        description: The file that keeps apt on the branch.
        type: str
        required: true
      unattended:
        description: The file that keeps unattended-upgrades away from the driver.
        type: str
        required: true
      sources:
        description: The file with the entry for NVIDIA's repository.
        type: str
        required: true
  persistence:
    description:
      - Whether the persistence daemon is wanted, for RV(due).
    type: bool
    default: true
    version_added: 0.2.0
  candidates:
    description:
      - Whether to ask apt, too, which branches and versions the chosen source has. Its package lists should have been read before.
    type: bool
    default: false
  nvml:
    description:
      - Whether to ask the NVML library, too, whether the driver works.
    type: bool
    default: false
  cuda:
    description:
      - Whether to have the CUDA driver library start, too, as engines have it (cuInit).
    type: bool
    default: false
extends_documentation_fragment:
  - gpuserve.fleet.attributes.reads
  - gpuserve.fleet.host
  - gpuserve.fleet.host.probe
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
      driver: nvidia
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
    preferences: ""
    unattended: ""
    reasons: ["branch 580: the default here"]
plan:
  description: Which packages and kernel headers are missing, and whether anything has to be installed.
  returned: when O(request) is given
  type: dict
  sample: {missing: [], headers: [], touched: false}
targets:
  description: What apt is to be asked for, and which of that is not there yet; none in a dry run while apt has no lists.
  returned: when O(candidates) is true
  type: dict
  sample: {install: [nvidia-driver-cuda=595.84.01-1], due: []}
pins:
  description: The files that keep apt and unattended-upgrades on the branch, each with its text; one without any should not be there.
  returned: when O(request) and O(files) are given
  type: list
  elements: dict
  sample: [{path: /etc/apt/preferences.d/gpuserve-nvidia.pref, content: ""}]
due:
  description:
    - What there is to do, or to fail of, by V(source) (entries for repositories that should not be there), V(packages), V(pin),
      V(nouveau), V(persistence), V(driver) and V(next_boot).
  returned: when O(request) and O(files) are given
  type: list
  elements: str
  sample: []
installed:
  description: The driver that is installed, whose it is, and what of it is on hold.
  returned: always
  type: dict
  sample: {source: cuda_repo, branch: 595, version: 595.84.01, held: []}
decision:
  description: What the driver on this host needs, V(none), V(module_reload), V(reboot) or V(fail), and why.
  returned: always
  type: dict
  sample: {action: none, reason: "driver 580.178.04 is loaded, on disk and in the library", notes: [], next_boot: ""}
persistence:
  description: >-
    Whether the persistence daemon is there and starts at boot, which drop-in its unit needs to do what it is for (empty where none),
    and whether that is in place.
  returned: always
  type: dict
  sample:
    unit: true
    enabled: true
    path: /etc/systemd/system/nvidia-persistenced.service.d/10-gpuserve.conf
    drop_in: ""
    in_place: true
keyring_package:
  description: The package that brings another entry for NVIDIA's repository, where it is installed.
  returned: always
  type: list
  elements: str
  sample: []
systemd:
  description: Whether systemd is in charge.
  returned: always
  type: bool
  sample: true
state:
  description: The versions the decision rests on.
  returned: always
  type: dict
  sample: {kernel: 6.8.0-90-generic, loaded: 580.178.04, on_disk: 580.178.04, userspace: 580.178.04, cuda: 580.178.04}
reboot_ends:
  description: The processes of others that a reboot would end; on a card, or a desktop.
  returned: always
  type: list
  elements: str
  sample: []
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
cuda:
  description: What the CUDA driver library says.
  returned: when O(cuda) is true
  type: dict
  sample: {status: 0, sentence: "", version: 13000}
apt:
  description:
    - What apt has, for O(gpuserve.fleet.deb_source#module:known), that is the text of each file of its entries, none where an address
      in it has an account, and of each of O(apt_files) its content in base64 and its mode, none where it is missing.
  returned: success, empty without O(apt_files)
  type: dict
  sample: {sources: {/etc/apt/sources.list: ""}, files: {/etc/apt/keyrings/gpuserve-docker.gpg: null}}
"""

import datetime
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import (
    distribution,
    driver,
    driver_branches,
    driver_due,
    driver_packages,
    driver_plan,
    driver_state,
    pci,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_repository import KEYRING_PACKAGE
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_request import Choice, Host, Request
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import apt, gpu, text_files
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.probe import PROBE

HEADER = "# Written by gpuserve.fleet.nvidia_driver: a driver that unloads costs every next start seconds."
# What stands at the top of each of the role's other files, and how a line becomes a comment there.
WRITTEN = "Written by gpuserve.fleet.nvidia_driver."
FILES = ("preferences", "unattended", "sources")


def describe(device: pci.Gpu) -> dict[str, Any]:
    """Make a card plain data."""
    return {
        **asdict(device),
        "device_id": f"{device.device_id:04x}",
        "name": device.name,
        "generation": device.generation.name,
        "open_modules": device.generation.open_modules,
    }


def read_packages(run: gpu.Run, others: Sequence[str]) -> dict[str, distribution.Package]:
    """Ask dpkg for the driver's whole set and for kernels; where there is no dpkg, there are none."""
    fields = "${Package}\t${Version}\t${db:Status-Abbrev}\n"
    names = [
        *driver_packages.PATTERNS,
        *driver_packages.KERNELS,
        KEYRING_PACKAGE,
        *(distribution.split_wanted(name)[0] for name in others),
    ]
    return distribution.parse_dpkg(run(["dpkg-query", "-W", "-f", fields, *names])[1])


def read_host(files: HostFiles, run: gpu.Run, others: Sequence[str]) -> Host:
    """Read all that is decided on."""
    found = distribution.parse_os_release(files.read("/etc/os-release") or files.read("/usr/lib/os-release") or "")
    packages = read_packages(run, others)
    state = gpu.read_driver_state(files, run, platform.release())
    installed = driver_packages.installed_driver(packages, found)
    if state.userspace and gpu.is_run_file(files, run, state.userspace):
        branch = driver_packages.branch_of(state.userspace)
        installed = driver_packages.InstalledDriver(driver_packages.Source.RUN_FILE, branch, state.userspace)
    return Host(
        distribution=found,
        architecture=platform.machine(),
        uid=os.geteuid(),
        gpus=gpu.gpus(files),
        secure_boot=gpu.secure_boot(files),
        platform=gpu.read_platform(files),
        installed=installed,
        packages=packages,
        state=state,
    )


def ask_apt(run: gpu.Run, request: Request, host: Host) -> tuple[Choice, dict[str, list[driver_plan.Offer]]]:
    """Choose again by what the source really has; another branch may have packages of other names."""
    choice = driver.choose(request, host)
    offers: dict[str, list[driver_plan.Offer]] = {}
    for _pass in range(2):
        names = [name for name in driver_plan.names_to_ask(choice, request, host) if name not in offers]
        offers.update({name: [] for name in names})
        if names:
            offers.update(driver_plan.parse_madison(run(["apt-cache", "madison", *names])[1]))
        available = driver_plan.available_branches(offers, choice, request, host)
        choice = driver.choose(request, host, available)
    return choice, offers


def pins(choice: Choice, paths: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the files that keep apt and unattended-upgrades on the branch, with their texts."""
    unattended = f"// {WRITTEN}\n{choice.unattended}" if choice.unattended else ""
    return [
        {"path": paths["preferences"], "content": f"# {WRITTEN}\n{choice.preferences}"},
        {"path": paths["unattended"], "content": unattended},
    ]


def surroundings(
    files: HostFiles, params: Mapping[str, Any], host: Host, choice: Choice, result: Mapping[str, Any]
) -> driver_due.Found:
    """Read what surrounds the driver, by what was read already where that has it."""
    paths, daemon = params["files"], result["persistence"]
    wanted = params["persistence"] and result["systemd"]
    from_distro = choice.source == driver_packages.Source.DISTRO.value
    nvml = result.get("nvml") or {}
    return driver_due.Found(
        has_other_source=bool(result["keyring_package"]) or (from_distro and files.exists(paths["sources"])),
        pin_in_place=all(text_files.holds(files, pin) for pin in pins(choice, paths)),
        nouveau=host.state.nouveau,
        persistence_in_place=not wanted or daemon["in_place"],
        persistence_enabled=not wanted or not daemon["unit"] or daemon["enabled"],
        nvml=nvml.get("status"),
        devices=nvml.get("devices"),
    )


def decide(
    run: gpu.Run, request: Request, host: Host, candidates: bool, check_mode: bool
) -> tuple[Choice, driver_plan.Plan, dict[str, Any]]:
    """Choose, plan, and name each package's version where apt was asked."""
    if not candidates:
        choice = driver.choose(request, host)
        plan = driver_plan.plan(request, choice, host)
        return choice, plan, {"choice": asdict(choice), "plan": asdict(plan)}
    choice, offers = ask_apt(run, request, host)
    known = {name for name, versions in offers.items() if versions}
    plan = driver_plan.plan(request, choice, host, known)
    targets = None
    if plan.touched and (known or not check_mode):
        targets = asdict(driver_plan.targets(request, choice, host, offers))
    return (
        choice,
        plan,
        {"choice": asdict(choice), "plan": asdict(plan), "targets": targets or {"install": [], "due": []}},
    )


def run_module(module: AnsibleModule) -> dict[str, Any]:
    """Read, choose, decide."""
    files = HostFiles(module.params["root"])

    def command(arguments: list[str]) -> tuple[int, str, str]:
        program = module.get_bin_path(arguments[0])
        return module.run_command([program, *arguments[1:]]) if program else (127, "", f"no {arguments[0]}")

    asked = module.params["request"]
    request = Request(**{**asked, "extra_packages": tuple(asked["extra_packages"])}) if asked is not None else None
    host = read_host(files, command, request.extra_packages if request else ())
    installed = host.installed
    result: dict[str, Any] = {
        "cards": [describe(device) for device in host.gpus],
        "secure_boot": host.secure_boot,
        "state": asdict(host.state),
        "reboot_ends": list(host.state.reboot_ends),
        "decision": asdict(driver_state.decide(host.state)),
        "persistence": gpu.read_persistence(files, HEADER),
        "keyring_package": [KEYRING_PACKAGE] if KEYRING_PACKAGE in host.packages else [],
        "systemd": files.is_dir("/run/systemd/system"),
        "apt": apt.read(files, module.params["apt_files"]),
        "installed": {
            "source": installed.source.value if installed else "",
            "branch": installed.branch if installed else 0,
            "version": installed.version if installed else "",
            "held": list(installed.held) if installed else [],
        },
    }
    if module.params["nvml"]:
        answer = gpu.nvml()
        status = answer["status"]
        result["nvml"] = {
            **answer,
            "sentence": "" if status == driver_state.NVML_OK else driver_state.nvml_sentence(status),
        }
    if request is not None:
        choice, plan, decided = decide(command, request, host, module.params["candidates"], module.check_mode)
        result.update(decided)
        if module.params["files"]:
            found = surroundings(files, module.params, host, choice, result)
            state = driver_state.decide(host.state)
            result["pins"] = pins(choice, module.params["files"])
            result["due"] = list(driver_due.due(choice, plan, state, found, request.require_card))
        warning = driver_branches.end_warning(choice.branch, datetime.date.today())
        if warning:
            module.warn(warning)
    if module.params["cuda"]:
        answer = gpu.cuda()
        status = answer["status"]
        result["cuda"] = {
            **answer,
            "sentence": "" if status == driver_state.CUDA_OK else driver_state.cuda_sentence(status),
        }
    return result


def main() -> NoReturn:
    """Run, and turn our own errors into a sentence."""
    request = {
        "source": {"type": "str", "choices": ["auto", "cuda_repo", "distro", "host"], "default": "auto"},
        "branch": {"type": "int", "default": 0},
        "version": {"type": "str", "default": ""},
        "flavour": {"type": "str", "choices": ["auto", "open", "proprietary"], "default": "auto"},
        "compute_only": {"type": "bool", "default": True},
        "mok_enrolled": {"type": "bool", "default": False},
        "require_card": {"type": "bool", "default": True},
        "ubuntu_kernel": {"type": "str", "default": "auto"},
        "extra_packages": {"type": "list", "elements": "str", "default": []},
        "upgrade": {"type": "bool", "default": False},
        "allow_downgrade": {"type": "bool", "default": False},
        "allow_held": {"type": "bool", "default": False},
        "reboot": {"type": "str", "choices": ["auto", "always", "never"], "default": "auto"},
        "repository_url": {"type": "str", "default": "https://developer.download.nvidia.com/compute/cuda/repos"},
    }
    module = AnsibleModule(
        argument_spec={
            "request": {"type": "dict", "options": request},
            "files": {"type": "dict", "options": {name: {"type": "str", "required": True} for name in FILES}},
            "persistence": {"type": "bool", "default": True},
            **PROBE,
            "candidates": {"type": "bool", "default": False},
            "nvml": {"type": "bool", "default": False},
            "cuda": {"type": "bool", "default": False},
            "root": {"type": "path", "default": "/"},
        },
        supports_check_mode=True,
    )
    module.run_command_environ_update = {"LC_ALL": "C", "LANGUAGE": "C"}
    try:
        result = run_module(module)
    except FleetError as error:
        module.fail_json(msg=str(error), field=error.where)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
