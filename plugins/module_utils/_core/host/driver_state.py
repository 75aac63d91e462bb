# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host with a driver on it needs before the driver can work: nothing, a fresh module, a reboot, or repair."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.virtualization import headers_package

# What a build's log says, the telling ones first, and what to do about each.
_DKMS_CAUSES = (
    (
        re.compile(
            r"compiler .*(?:not found|could not be)|(?:gcc|cc)[-\d]*: (?:not found|command not found)|unable to find a suitable",
            re.I,
        ),
        "the compiler that built the kernel is not there: install gcc, in the version that `cat /proc/version` names",
    ),
    (
        re.compile(r"unrecognized command[- ]line option|Compiler version check failed", re.I),
        "the compiler is another one than built the kernel: install the version that `cat /proc/version` names",
    ),
    (
        re.compile(
            r"(?:Kernel configuration is invalid|generated/autoconf\.h|fatal error: \S+\.h: No such file)", re.I
        ),
        "the kernel's headers are not complete: install them again",
    ),
    (re.compile(r"No space left on device", re.I), "the disk is full"),
    (
        re.compile(
            r"error: (?:implicit declaration|too (?:many|few) arguments|incompatible|\S+ undeclared|unknown type name)",
            re.I,
        ),
        "this driver is too old for that kernel: take a newer version of the branch, or boot an older kernel",
    ),
)
_LOADED = re.compile(r"Kernel Module(?: for \S+)?\s+(\d+\.\d+(?:\.\d+)?)")
_NUMBER = re.compile(r"(\d+)")
NVML_OK = 0
_NVML_SENTENCES = {
    9: "the driver is not loaded",
    18: "the library is of another version than the loaded kernel module",
    12: "libnvidia-ml.so.1 was not found",
}


@dataclass(frozen=True)
class DriverState:
    """What is loaded, on disk and in user space, each as a version or None."""

    kernel: str
    newest_kernel: str
    loaded: str | None = None
    loaded_open: bool | None = None
    on_disk: str | None = None
    on_disk_open: bool | None = None
    on_disk_newest: str | None = None
    userspace: str | None = None
    cuda: str | None = None
    nouveau: bool = False
    gpu_users: tuple[str, ...] = ()
    display_users: tuple[str, ...] = ()
    headers: bool = True
    headers_newest: bool = True
    dkms_failure: str = ""

    @property
    def split(self) -> bool:
        """Tell whether module and libraries on disk are of two versions."""
        versions = {version for version in (self.on_disk, self.userspace, self.cuda) if version}
        return len(versions) > 1

    @property
    def reboot_ends(self) -> tuple[str, ...]:
        """Name the processes of others that a reboot would end: those on the card, and a desktop that holds the display."""
        return tuple(dict.fromkeys((*self.gpu_users, *self.display_users)))


@dataclass(frozen=True)
class Decision:
    """What to do, why, what a person should know besides, and what the next boot would break ("" where nothing)."""

    action: str  # none, module_reload, reboot or fail
    reason: str
    notes: tuple[str, ...] = ()
    next_boot: str = ""


def dkms_cause(log: str) -> str:
    """Name why DKMS failed, from the end of its make.log; "" where the log does not say."""
    for pattern, cause in _DKMS_CAUSES:
        if pattern.search(log):
            return cause
    errors = [line.strip() for line in log.splitlines() if re.search(r"\berror\b", line, re.I)]
    return f"make.log says: {errors[0][:160]}" if errors else ""


def parse_loaded(text: str) -> tuple[str | None, bool | None]:
    """Read /proc/driver/nvidia/version: the loaded module's version, and whether it is the open one."""
    match = _LOADED.search(text)
    return (match.group(1), "Open Kernel Module" in text) if match else (None, None)


def kernel_key(release: str) -> tuple[tuple[int, str], ...]:
    """Order kernel releases as people do: numbers by value."""
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in _NUMBER.split(release) if part)


def decide(state: DriverState) -> Decision:
    """Decide from versions, never from "something changed"."""
    action, reason = _decide(state)
    broken = _next_boot(state)
    if action == "reboot" and broken:
        # A reboot takes the newest kernel: one that has no module would turn a host that waits into a dead one.
        action, reason = "fail", f"a reboot is due ({reason}), and {broken}"
    notes: tuple[str, ...] = ()
    if state.newest_kernel != state.kernel and (state.on_disk or state.userspace):
        notes = (broken or f"the next boot takes kernel {state.newest_kernel}",)
    return Decision(action, reason, notes, broken)


def _decide(state: DriverState) -> tuple[str, str]:
    if state.on_disk is None and state.userspace is None:
        return "none", "no NVIDIA driver is installed"
    if state.userspace is None:
        return "fail", "the kernel module is there and libnvidia-ml.so.1 is not: the driver is half installed"
    if state.on_disk is None:
        return _without_module(state)
    if state.on_disk != state.userspace:
        return "fail", (
            f"the kernel module on disk is {state.on_disk} and the library is {state.userspace}: "
            "the packages are of two versions"
        )
    if state.cuda is not None and state.cuda != state.userspace:
        return "fail", (
            f"libcuda.so.1, which engines load, is {state.cuda} and libnvidia-ml.so.1 is {state.userspace}: "
            "the libraries are of two versions"
        )
    if state.nouveau:
        return "reboot", "nouveau drives the card and gives it up only at a reboot"
    if state.loaded is None:
        return "module_reload", f"the kernel module {state.on_disk} is installed and not loaded"
    if state.loaded != state.on_disk:
        what = f"the kernel runs driver {state.loaded}, and {state.on_disk} is installed"
    elif state.loaded_open is not None and state.on_disk_open is not None and state.loaded_open != state.on_disk_open:
        flavours = {True: "open", False: "proprietary"}
        runs, has = flavours[state.loaded_open], flavours[state.on_disk_open]
        what = f"the kernel runs the {runs} modules, and the {has} ones are installed"
    else:
        return "none", f"driver {state.loaded} is loaded, on disk and in the library"
    if state.gpu_users:
        return "reboot", f"{what}, and {', '.join(state.gpu_users[:3])} uses the card"
    return "module_reload", what


def _without_module(state: DriverState) -> tuple[str, str]:
    if state.newest_kernel != state.kernel and state.on_disk_newest is not None:
        newer = f"the newer {state.newest_kernel} has {state.on_disk_newest}"
        return "reboot", f"the running kernel {state.kernel} has no NVIDIA module, and {newer}"
    missing = f"there is no NVIDIA module for the running kernel {state.kernel}"
    if not state.headers:
        return "fail", f"{missing}, since its headers ({headers_package(state.kernel)}) are not installed"
    why = state.dkms_failure or "`dkms status nvidia` and its make.log say why"
    return "fail", f"{missing}: DKMS did not build it ({why})"


def _next_boot(state: DriverState) -> str:
    if state.newest_kernel == state.kernel or state.userspace is None:
        return ""
    takes = f"the next boot takes kernel {state.newest_kernel}"
    if state.on_disk_newest is None:
        cause = "" if state.headers_newest else f": its headers ({headers_package(state.newest_kernel)}) are missing"
        return f"{takes}, for which there is no NVIDIA module{cause}"
    if state.on_disk_newest != state.userspace:
        return f"{takes}, whose NVIDIA module is {state.on_disk_newest} while the library is {state.userspace}"
    return ""


# cuInit's answers (cuda.h, CUresult).
CUDA_OK = 0
_CUDA_SENTENCES = {
    -1: "libcuda.so.1 was not found",
    100: "CUDA finds no device",
    802: "the system is not ready (on NVSwitch machines: nvidia-fabricmanager has to run)",
    803: "libcuda.so.1 is of another version than the loaded kernel module",
    804: "a compatibility library that these cards are not supported by stands before the driver's libcuda.so.1",
    999: "the driver failed: `dmesg | grep NVRM` says why",
}


def cuda_sentence(status: int) -> str:
    """Say what cuInit's answer means: what engines will meet when they start."""
    return _CUDA_SENTENCES.get(status, f"cuInit answered {status}")


def nvml_sentence(status: int) -> str:
    """Say what an NVML status means for someone who set a host up."""
    return _NVML_SENTENCES.get(status, f"NVML answered {status}")
