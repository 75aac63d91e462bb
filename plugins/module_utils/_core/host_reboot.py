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
    """What to do, why, and what a person should know besides."""

    action: str  # none, module_reload, reboot or fail
    reason: str
    notes: tuple[str, ...] = ()


def parse_loaded(text: str) -> tuple[str | None, bool | None]:
    """Read /proc/driver/nvidia/version: the loaded module's version, and whether it is the open one."""
    match = _LOADED.search(text)
    return (match.group(1), "Open Kernel Module" in text) if match else (None, None)


def kernel_key(release: str) -> tuple[tuple[int, str], ...]:
    """Order kernel releases as people do: numbers by value."""
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in _NUMBER.split(release) if part)


def decide(state: DriverState) -> Decision:
    """Decide from versions, never from "something changed"."""
    notes = _notes(state)
    if state.on_disk is None and state.userspace is None:
        return Decision("none", "no NVIDIA driver is installed", notes)
    if state.userspace is None:
        return Decision(
            "fail", "the kernel module is there and libnvidia-ml.so.1 is not: the driver is half installed", notes
        )
    if state.on_disk is None:
        return _without_module(state, notes)
    if state.on_disk != state.userspace:
        return Decision(
            "fail",
            f"the kernel module on disk is {state.on_disk} and the library is {state.userspace}: "
            "the packages are of two versions",
            notes,
        )
    if state.nouveau:
        return Decision("reboot", "nouveau drives the card and gives it up only at a reboot", notes)
    if state.loaded is None:
        return Decision("module_reload", f"the kernel module {state.on_disk} is installed and not loaded", notes)
    if state.loaded != state.on_disk:
        what = f"the kernel runs driver {state.loaded}, and {state.on_disk} is installed"
    elif state.loaded_open is not None and state.on_disk_open is not None and state.loaded_open != state.on_disk_open:
        flavours = {True: "open", False: "proprietary"}
        runs, has = flavours[state.loaded_open], flavours[state.on_disk_open]
        what = f"the kernel runs the {runs} modules, and the {has} ones are installed"
    else:
        return Decision("none", f"driver {state.loaded} is loaded, on disk and in the library", notes)
    if state.gpu_users:
        return Decision("reboot", f"{what}, and {', '.join(state.gpu_users[:3])} uses the card", notes)
    return Decision("module_reload", what, notes)


def _without_module(state: DriverState, notes: tuple[str, ...]) -> Decision:
    if state.newest_kernel != state.kernel and state.on_disk_newest is not None:
        newer = f"the newer {state.newest_kernel} has {state.on_disk_newest}"
        return Decision("reboot", f"the running kernel {state.kernel} has no NVIDIA module, and {newer}", notes)
    missing = f"there is no NVIDIA module for the running kernel {state.kernel}"
    if not state.headers:
        return Decision("fail", f"{missing}, since its headers (linux-headers-{state.kernel}) are not installed", notes)
    return Decision("fail", f"{missing}: DKMS did not build it (`dkms status nvidia` and its make.log say why)", notes)


def _notes(state: DriverState) -> tuple[str, ...]:
    notes = []
    if state.newest_kernel != state.kernel and (state.on_disk or state.userspace):
        if state.on_disk_newest is None:
            cause = "" if state.headers_newest else f": its headers (linux-headers-{state.newest_kernel}) are missing"
            notes.append(
                f"the next boot takes kernel {state.newest_kernel}, for which there is no NVIDIA module{cause}"
            )
        else:
            notes.append(f"the next boot takes kernel {state.newest_kernel}")
    return tuple(notes)


def nvml_sentence(status: int) -> str:
    """Say what an NVML status means for someone who set a host up."""
    return _NVML_SENTENCES.get(status, f"NVML answered {status}")
