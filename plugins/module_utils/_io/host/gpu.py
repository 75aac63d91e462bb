# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gather what is known about a host's cards and driver, from files below a root and from modinfo."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import (
    driver_state,
    pci,
    persistence,
    virtualization,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.text import harmless
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles

Run = Callable[[list[str]], tuple[int, str, str]]

_PCI = "/sys/bus/pci/devices"
# Where the dynamic linker looks, in its order (Debian's /etc/ld.so.conf.d); "current" is where Debian's alternatives lead to.
_LIBRARY_FOLDERS = (
    "/usr/local/lib",
    "/usr/local/lib/x86_64-linux-gnu",
    "/usr/local/lib/aarch64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu/nvidia/current",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu/nvidia/current",
    "/usr/lib64",
)
_LIBRARY = re.compile(r"^lib(?:nvidia-ml|cuda)\.so\.(\d+\.\d+(?:\.\d+)?)$")
NVML, CUDA = "libnvidia-ml.so.1", "libcuda.so.1"
_DKMS = "/var/lib/dkms"
# Only what a .run file leaves has these.
_RUN_FILE_TRACES = ("/usr/bin/nvidia-uninstall", "/usr/bin/nvidia-installer")
_DISPLAY = re.compile(r"^/dev/dri/card\d+$")
# It opens the display for whoever sits at it, who is listed anyway.
_DISPLAY_BROKERS = frozenset({"systemd-logind", "systemd", "seatd"})
_PERSISTENCE_UNITS = ("/usr/lib/systemd/system", "/lib/systemd/system")
PERSISTENCE_DROP_IN = "/etc/systemd/system/nvidia-persistenced.service.d/10-gpuserve.conf"
_SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"


def gpus(files: HostFiles) -> list[pci.Gpu]:
    """Find the cards without lspci."""
    found = []
    for address in files.names(_PCI):
        folder = f"{_PCI}/{address}"
        vendor, kind = _hex(files.read(f"{folder}/vendor")), _hex(files.read(f"{folder}/class"))
        device = _hex(files.read(f"{folder}/device"))
        if vendor != pci.NVIDIA_VENDOR or kind is None or device is None:
            continue
        if kind >> 8 in pci.DISPLAY_CLASSES:
            found.append(
                pci.Gpu(
                    address=address,
                    device_id=device,
                    pcie_width=_number(files.read(f"{folder}/current_link_width")),
                    pcie_max_width=_number(files.read(f"{folder}/max_link_width")),
                    bar_bytes=pci.largest_bar(files.read(f"{folder}/resource") or ""),
                    driver=(files.link(f"{folder}/driver") or "").rsplit("/", 1)[-1],
                )
            )
    return found


def secure_boot(files: HostFiles) -> bool:
    """Read the firmware's own variable: four bytes of attributes, then 1 for on. No such folder means a BIOS boot."""
    data = files.read_bytes(_SECURE_BOOT)
    return data is not None and len(data) >= 5 and data[-1] == 1


def read_platform(files: HostFiles) -> virtualization.Platform:
    """Tell whether the kernel is this system's own."""
    return virtualization.platform_of(
        files.read("/proc/version") or "",
        files.read("/run/systemd/container") or "",
        files.read("/proc/1/environ") or "",
    )


def read_driver_state(files: HostFiles, run: Run, kernel: str) -> driver_state.DriverState:
    """Read the versions and what else a decision needs."""
    newest = max([*bootable_kernels(files), kernel], key=driver_state.kernel_key)
    loaded, loaded_open = driver_state.parse_loaded(files.read("/proc/driver/nvidia/version") or "")
    on_disk, on_disk_open = _module(run, kernel)
    on_disk_newest = on_disk if newest == kernel else _module(run, newest)[0]
    userspace = library_version(files, NVML)
    gpu_users, display_users = read_users(files)
    return driver_state.DriverState(
        kernel=kernel,
        newest_kernel=newest,
        loaded=loaded,
        loaded_open=loaded_open,
        on_disk=on_disk,
        on_disk_open=on_disk_open,
        on_disk_newest=on_disk_newest,
        userspace=userspace,
        cuda=library_version(files, CUDA),
        nouveau=files.is_dir("/sys/module/nouveau"),
        gpu_users=tuple(gpu_users),
        display_users=tuple(display_users),
        # A kernel package may bring the link, and another one what it points to.
        headers=files.resolve(f"/lib/modules/{kernel}/build") is not None,
        headers_newest=files.resolve(f"/lib/modules/{newest}/build") is not None,
        dkms_failure=driver_state.dkms_cause(_make_log(files)) if userspace and not on_disk else "",
    )


def bootable_kernels(files: HostFiles) -> list[str]:
    """List the kernels that can be booted: one that was removed and not purged leaves its modules.dep."""
    kernels = [name for name in files.names("/lib/modules") if files.exists(f"/lib/modules/{name}/modules.dep")]
    images = [name for name in files.names("/boot") if name.startswith("vmlinuz-")]
    return [name for name in kernels if not images or f"vmlinuz-{name}" in images]


def _make_log(files: HostFiles) -> str:
    """Return the log of the newest build that failed: DKMS removes the folder of one that did not."""
    for module in reversed(files.names(_DKMS)):
        if module.startswith("nvidia"):
            for version in reversed(files.names(f"{_DKMS}/{module}")):
                log = files.read(f"{_DKMS}/{module}/{version}/build/make.log")
                if log:
                    return log
    return ""


def is_run_file(files: HostFiles, run: Run, version: str | None) -> bool:
    """Tell whether the library that is loaded came by NVIDIA's .run file: its uninstaller is there, and no package owns the library."""
    if version is None or not any(files.exists(trace) for trace in _RUN_FILE_TRACES):
        return False
    return run(["dpkg-query", "--search", f"*/libnvidia-ml.so.{version}"])[0] != 0


def _module(run: Run, kernel: str) -> tuple[str | None, bool | None]:
    status, version, _err = run(["modinfo", "-k", kernel, "-F", "version", "nvidia"])
    if status != 0 or not version.strip():
        return None, None
    status, licence, _err = run(["modinfo", "-k", kernel, "-F", "license", "nvidia"])
    return version.split()[0], (licence.strip() != "NVIDIA" if status == 0 and licence.strip() else None)


def library_version(files: HostFiles, soname: str) -> str | None:
    """Read the version of the library that a program would load: of the file that the soname leads to, not of any that lies there."""
    for folder in _LIBRARY_FOLDERS:
        target = files.resolve(f"{folder}/{soname}")
        match = _LIBRARY.match(target.rsplit("/", 1)[-1]) if target else None
        if match:
            return match.group(1)
    return None


def read_users(files: HostFiles) -> tuple[list[str], list[str]]:
    """Name the processes that hold a card open, and those that hold any display; the persistence daemon is ours to stop."""
    nodes = {f"/dev/dri/{name}" for gpu in gpus(files) for name in files.names(f"{_PCI}/{gpu.address}/drm")}
    on_gpu, on_display = [], []
    for pid in files.names("/proc"):
        if not pid.isdigit():
            continue
        targets = [files.link(f"/proc/{pid}/fd/{number}") or "" for number in files.names(f"/proc/{pid}/fd")]
        open_here = any(target.startswith("/dev/nvidia") or target in nodes for target in targets)
        shown = any(_DISPLAY.match(target) for target in targets)
        if not open_here and not shown:
            continue
        name = harmless((files.read(f"/proc/{pid}/comm") or "").strip())
        if name.startswith("nvidia-persiste") or name in _DISPLAY_BROKERS:  # the kernel cuts names to 15 characters
            continue
        if open_here:
            on_gpu.append(f"{name} (pid {pid})")
        if shown:
            on_display.append(f"{name} (pid {pid})")
    return on_gpu, on_display


def read_persistence(files: HostFiles, header: str) -> dict[str, Any]:
    """Tell whether the persistence daemon has a unit and starts at boot, the drop-in that it needs, and whether that is there."""
    texts = (files.read(f"{folder}/nvidia-persistenced.service") for folder in _PERSISTENCE_UNITS)
    unit = next((text for text in texts if text is not None), None)
    wanted = persistence.drop_in(unit or "")
    wanted = f"{header}\n{wanted}" if wanted else ""
    there = files.read(PERSISTENCE_DROP_IN) or ""
    return {
        "unit": unit is not None,
        "enabled": files.starts_at_boot("nvidia-persistenced.service"),
        "path": PERSISTENCE_DROP_IN,
        "drop_in": wanted,
        "in_place": there == wanted,
    }


def nvml() -> dict[str, Any]:
    """Ask the real library whether the driver works: the proof that no package manager's exit status can give."""
    try:
        library = ctypes.CDLL(NVML)
    except OSError:
        return {"status": 12, "devices": 0, "driver_version": "", "names": []}
    status = int(library.nvmlInit_v2())
    if status != driver_state.NVML_OK:
        return {"status": status, "devices": 0, "driver_version": "", "names": []}
    count, version = ctypes.c_uint(0), ctypes.create_string_buffer(96)
    library.nvmlDeviceGetCount_v2(ctypes.byref(count))
    library.nvmlSystemGetDriverVersion(version, ctypes.c_uint(96))
    names = []
    for index in range(count.value):
        handle, name = ctypes.c_void_p(), ctypes.create_string_buffer(128)
        if library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(handle)) == driver_state.NVML_OK:
            library.nvmlDeviceGetName(handle, name, ctypes.c_uint(128))
            names.append(name.value.decode("utf-8", "replace"))
    library.nvmlShutdown()
    return {"status": 0, "devices": count.value, "driver_version": version.value.decode(), "names": names}


def cuda() -> dict[str, Any]:
    """Have the driver's own library start as engines have it: NVML may answer while libcuda.so.1 is of another branch."""
    try:
        library = ctypes.CDLL(CUDA)
    except OSError:
        return {"status": -1, "version": 0}
    version = ctypes.c_int(0)
    status = int(library.cuInit(0))
    if status == driver_state.CUDA_OK:
        library.cuDriverGetVersion(ctypes.byref(version))
    return {"status": status, "version": version.value}


def _hex(text: str | None) -> int | None:
    try:
        return int(text or "", 16)
    except ValueError:
        return None


def _number(text: str | None) -> int | None:
    return int(text) if text and text.strip().isdigit() else None
