# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host with a driver on it needs before the driver can work: nothing, a fresh module, a reboot, or repair."""

from __future__ import annotations

import re
from dataclasses import dataclass

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
    nouveau: bool = False
    gpu_users: tuple[str, ...] = ()
    headers: bool = True
    headers_newest: bool = True


@dataclass(frozen=True)
class Decision:
    """What to do, why, what a person should know besides, and what the next boot would break ("" where nothing)."""

    action: str  # none, module_reload, reboot or fail
    reason: str
    notes: tuple[str, ...] = ()
    next_boot: str = ""


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
        return "fail", f"{missing}, since its headers (linux-headers-{state.kernel}) are not installed"
    return "fail", f"{missing}: DKMS did not build it (`dkms status nvidia` and its make.log say why)"


def _next_boot(state: DriverState) -> str:
    if state.newest_kernel == state.kernel or state.userspace is None:
        return ""
    takes = f"the next boot takes kernel {state.newest_kernel}"
    if state.on_disk_newest is None:
        cause = "" if state.headers_newest else f": its headers (linux-headers-{state.newest_kernel}) are missing"
        return f"{takes}, for which there is no NVIDIA module{cause}"
    if state.on_disk_newest != state.userspace:
        return f"{takes}, whose NVIDIA module is {state.on_disk_newest} while the library is {state.userspace}"
    return ""


def nvml_sentence(status: int) -> str:
    """Say what an NVML status means for someone who set a host up."""
    return _NVML_SENTENCES.get(status, f"NVML answered {status}")
