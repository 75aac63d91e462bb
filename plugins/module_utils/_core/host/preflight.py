# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge whether a host can become, or is, one that serves: every check is a line with what is true and what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_state import DriverState, decide
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.pci import Gpu
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.virtualization import Platform

GIB = 1 << 30
OK, WARN, FAIL = "ok", "warn", "fail"
# A driver of the same major CUDA version runs an image (minor-version compatibility); CUDA 12 needs 525, but the
# cards of the RTX 50 series need what their generation needs.
_CUDA_MIN_BRANCH = {11: 450, 12: 525, 13: 580}
_TAG = re.compile(r":v(\d+)\.(\d+)")
_CUDA_SUFFIX = re.compile(r"-cu(\d{2})(\d)\b")
# From this release on an unsuffixed tag of vllm/vllm-openai holds CUDA 13.0; before, 12.
_FIRST_CUDA_13 = (0, 20)


@dataclass(frozen=True)
class Check:
    """One line of the answer."""

    id: str
    status: str
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Disk:
    """A file system that has to hold something."""

    path: str
    purpose: str
    free_bytes: int
    min_bytes: int


@dataclass(frozen=True)
class Snapshot:
    """What was read from the host."""

    gpus: Sequence[Gpu] = ()
    driver: DriverState = field(default_factory=lambda: DriverState(kernel="", newest_kernel=""))
    secure_boot: bool = False
    disks: Sequence[Disk] = ()
    ram_bytes: int = 0
    min_ram_bytes: int = 0
    ports_wanted: Sequence[int] = ()
    ports_taken: Mapping[int, str] = field(default_factory=dict)
    time_synchronised: bool | None = None
    unresolved: Sequence[str] = ()
    names: Sequence[str] = ()
    reboot_pending: bool = False
    image: str = ""
    need_card: bool = True
    platform: Platform = Platform.MACHINE
    hypervisor: bool = False
    windows_library: bool = False


def cuda_of_image(image: str) -> tuple[int, int] | None:
    """Tell the CUDA version in an engine image from its tag, as vLLM names them; None where the tag does not say."""
    suffix = _CUDA_SUFFIX.search(image)
    if suffix:
        return int(suffix.group(1)), int(suffix.group(2))
    tag = _TAG.search(image)
    if tag is None or "vllm-openai" not in image or "cpu" in image:
        return None
    return (13, 0) if (int(tag.group(1)), int(tag.group(2))) >= _FIRST_CUDA_13 else (12, 8)


def judge(snap: Snapshot) -> list[Check]:
    """Run every check; none depends on another one's answer."""
    return [
        *_platform(snap),
        *_gpus(snap),
        *(_driver(snap) if snap.platform is Platform.MACHINE else _driver_of_others(snap)),
        *(_disk(disk) for disk in snap.disks),
        _ram(snap),
        *(_port(port, snap.ports_taken.get(port)) for port in snap.ports_wanted),
        _time(snap),
        *_names(snap),
        Check("reboot", WARN, "one is pending", "Reboot before the driver changes.")
        if snap.reboot_pending
        else Check("reboot", OK, "none is pending"),
    ]


def _platform(snap: Snapshot) -> list[Check]:
    """Say where the kernel, and with it the driver, belongs to somebody else."""
    if snap.platform is Platform.WSL2:
        remedy = "Install NVIDIA's driver on Windows, none in here, and run with --skip-tags nvidia_driver. We have not tried it."
        return [Check("platform", WARN, "WSL2, where the driver is Windows's", remedy)]
    if snap.platform is Platform.CONTAINER:
        remedy = (
            "Install the driver on the host, hand the devices through, put the libraries of the same version in here, "
            "and run with --skip-tags nvidia_driver."
        )
        return [Check("platform", WARN, "a container (LXC or another), whose kernel is its host's", remedy)]
    if snap.hypervisor:
        remedy = (
            "Serve from a virtual machine or a container on it that has the card, so that its other guests keep theirs."
        )
        return [Check("platform", WARN, "a Proxmox host", remedy)]
    return [Check("platform", OK, "a machine of its own, or a virtual one")]


def _gpus(snap: Snapshot) -> list[Check]:
    if not snap.gpus and snap.platform is Platform.WSL2:
        if snap.windows_library:
            return [Check("card", OK, "whichever Windows hands over; `nvidia-smi` lists them")]
        remedy = "Install NVIDIA's driver on Windows, and restart WSL with `wsl --shutdown`."
        return [
            Check("card", FAIL if snap.need_card else OK, "Windows hands none over", remedy if snap.need_card else "")
        ]
    if not snap.gpus:
        status = FAIL if snap.need_card else OK
        remedy = "Check that the card sits and has power." if snap.need_card else ""
        return [Check("card", status, "no NVIDIA card on the PCI bus", remedy)]
    lines = []
    free = [gpu for gpu in snap.gpus if not gpu.passed_through]
    for gpu in snap.gpus:
        if gpu.passed_through:
            remedy = (
                f"Serve from that machine, or give the card back: take it out of {gpu.driver}'s ids= on the kernel's command line and in "
                "/etc/modprobe.d, and reboot."
            )
            found = f"{gpu.name} at {gpu.address} is bound to {gpu.driver}, to be handed to a virtual machine"
            lines.append(Check("card", WARN if free or not snap.need_card else FAIL, found, remedy))
    for gpu in free:
        lines.append(Check("card", OK, f"{gpu.name} ({gpu.generation.name}) at {gpu.address}"))
        if gpu.pcie_width and gpu.pcie_max_width and gpu.pcie_width < gpu.pcie_max_width:
            found = f"{gpu.address} runs {gpu.pcie_width} of {gpu.pcie_max_width} lanes"
            lines.append(
                Check("pcie", WARN, found, "Use a full slot, and check riser and firmware. Models load slower.")
            )
        elif gpu.pcie_width:
            lines.append(Check("pcie", OK, f"{gpu.address} runs {gpu.pcie_width} lanes"))
        if gpu.bar_bytes is not None:
            small = gpu.bar_bytes <= GIB // 4
            found = f"{gpu.address} shows {_gib(gpu.bar_bytes)}"
            remedy = "Turn Above 4G Decoding and Resizable BAR on in the firmware." if small else ""
            lines.append(Check("bar", WARN if small else OK, found, remedy))
    return lines


def _driver_of_others(snap: Snapshot) -> list[Check]:
    """Compare the libraries in here with a module that another system loads."""
    module, library = snap.driver.loaded, snap.driver.userspace
    if snap.platform is Platform.WSL2 or not (snap.gpus or module or library):
        return []
    if module is None:
        return [Check("driver", FAIL, "the host of this container has loaded none", "Install it there.")]
    if library is None:
        remedy = f"Put the libraries of {module} in here, without kernel modules."
        return [Check("driver", FAIL, f"the host has loaded {module}, and there is no library of it in here", remedy)]
    if module != library:
        remedy = f"Put the libraries of {module} in here."
        return [Check("driver", FAIL, f"the host has loaded {module}, and the library in here is {library}", remedy)]
    return [Check("driver", OK, f"{module} is loaded by the host and in the library")]


def _driver(snap: Snapshot) -> list[Check]:
    state = snap.driver
    if not any(not gpu.passed_through for gpu in snap.gpus):
        return []
    lines = []
    decision = decide(state)
    installed = state.on_disk or state.userspace
    statuses = {"none": OK, "module_reload": WARN, "reboot": WARN, "fail": FAIL}
    remedies = {
        "none": "" if installed else "The role nvidia_driver installs one.",
        "module_reload": "The role nvidia_driver loads it.",
        "reboot": "Reboot, or let the role nvidia_driver do it.",
        "fail": "Repair that first: a reboot would not help.",
    }
    status = statuses[decision.action] if installed or decision.action != "none" else WARN
    lines.append(Check("driver", status, decision.reason, remedies[decision.action]))
    if decision.next_boot:
        remedy = f"Install linux-headers-{state.newest_kernel} and run `dkms autoinstall -k {state.newest_kernel}`."
        lines.append(Check("kernel", WARN, decision.next_boot, remedy))
    else:
        lines += [Check("kernel", OK, note) for note in decision.notes]
    version = state.loaded or state.on_disk
    if version:
        lines += _driver_range(snap, int(version.split(".", maxsplit=1)[0]))
    if state.on_disk_open is not None:
        wanted = any(gpu.generation.open_modules == "required" for gpu in snap.gpus)
        flavour = "open" if state.on_disk_open else "proprietary"
        bad = wanted and not state.on_disk_open
        remedy = "These cards run with the open ones only: nvidia_driver_flavour: open." if bad else ""
        lines.append(Check("modules", FAIL if bad else OK, f"the {flavour} kernel modules", remedy))
    if not state.headers and not installed:
        lines.append(Check("headers", WARN, f"none for {state.kernel}", "The role nvidia_driver installs them."))
    elif state.headers:
        lines.append(Check("headers", OK, f"there for {state.kernel}"))
    if snap.secure_boot:
        remedy = "Modules built on this host need an enrolled key: see the role nvidia_driver."
        lines.append(Check("secure_boot", OK if state.loaded else WARN, "on", "" if state.loaded else remedy))
    else:
        lines.append(Check("secure_boot", OK, "off"))
    return lines


def _driver_range(snap: Snapshot, branch: int) -> list[Check]:
    lines = []
    for gpu in snap.gpus:
        if branch < gpu.generation.min_branch:
            found = f"branch {branch} does not know {gpu.name}"
            lines.append(Check("branch", FAIL, found, f"It takes {gpu.generation.min_branch} or newer."))
    cuda = cuda_of_image(snap.image)
    if cuda:
        least = _CUDA_MIN_BRANCH.get(cuda[0], max(_CUDA_MIN_BRANCH.values()))
        found = f"branch {branch} for CUDA {cuda[0]}.{cuda[1]} in {snap.image}"
        if branch < least:
            lines.append(
                Check("cuda", FAIL, found, f"Take driver {least} or newer, or an image with CUDA {cuda[0] - 1}.")
            )
        else:
            lines.append(Check("cuda", OK, found))
    return lines


def _disk(disk: Disk) -> Check:
    found = f"{_gib(disk.free_bytes)} free in {disk.path} for {disk.purpose}"
    if disk.free_bytes >= disk.min_bytes:
        return Check("disk", OK, found)
    return Check("disk", FAIL, found, f"It takes {_gib(disk.min_bytes)}: free some, or use a larger disk.")


def _ram(snap: Snapshot) -> Check:
    found = f"{_gib(snap.ram_bytes)} of memory"
    if snap.ram_bytes >= snap.min_ram_bytes:
        return Check("ram", OK, found)
    return Check("ram", WARN, found, f"Loading weights goes better with {_gib(snap.min_ram_bytes)}.")


def _port(port: int, taken: str | None) -> Check:
    if taken is None:
        return Check("port", OK, f"{port} is free")
    if taken == "ours":
        return Check("port", OK, f"{port} is ours")
    return Check("port", FAIL, f"{port} is taken by {taken}", "End that, or choose another port.")


def _time(snap: Snapshot) -> Check:
    if snap.time_synchronised is None:
        return Check(
            "time", WARN, "nothing says whether the clock is right", "Certificates and tokens need a right clock."
        )
    if snap.time_synchronised:
        return Check("time", OK, "the clock is synchronised")
    return Check("time", WARN, "the clock is not synchronised", "Install chrony or systemd-timesyncd.")


def _names(snap: Snapshot) -> list[Check]:
    lines = [
        Check("dns", FAIL, f"{name} does not resolve", "Check /etc/resolv.conf, or set up mirrors (docs/airgap.md).")
        for name in snap.unresolved
    ]
    if not lines and snap.names:
        lines.append(Check("dns", OK, f"{', '.join(snap.names)} resolve"))
    return lines


def _gib(number: int) -> str:
    return f"{number / GIB:.1f} GiB"


def worst(checks: Sequence[Check]) -> str:
    """Name the worst status there is."""
    statuses = {check.status for check in checks}
    return next((status for status in (FAIL, WARN) if status in statuses), OK)


def table(host: str, checks: Sequence[Check]) -> list[str]:
    """Write the lines a person reads."""
    width = max((len(check.id) for check in checks), default=0)
    lines = [f"{host}   {worst(checks)}"]
    for check in checks:
        remedy = f"   {check.remedy}" if check.remedy else ""
        lines.append(f"  {check.status:<4}  {check.id:<{width}}  {check.found}{remedy}")
    return lines
