# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gather what is known about a host's cards and driver, from files below a root and from modinfo."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import driver_state, pci, persistence
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.text import harmless
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles

Run = Callable[[list[str]], tuple[int, str, str]]

_PCI = "/sys/bus/pci/devices"
_LIBRARY_FOLDERS = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu/nvidia/current",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu/nvidia/current",
    "/usr/lib64",
)
_LIBRARY = re.compile(r"^libnvidia-ml\.so\.(\d+\.\d+(?:\.\d+)?)$")
_PERSISTENCE_UNITS = ("/usr/lib/systemd/system", "/lib/systemd/system")
PERSISTENCE_DROP_IN = "/etc/systemd/system/nvidia-persistenced.service.d/10-gpuserve.conf"
_SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"


def cards(files: HostFiles) -> list[pci.Card]:
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
                pci.Card(
                    address=address,
                    device_id=device,
                    pcie_width=_number(files.read(f"{folder}/current_link_width")),
                    pcie_max_width=_number(files.read(f"{folder}/max_link_width")),
                    bar_bytes=pci.largest_bar(files.read(f"{folder}/resource") or ""),
                )
            )
    return found


def secure_boot(files: HostFiles) -> bool:
    """Read the firmware's own variable: four bytes of attributes, then 1 for on. No such folder means a BIOS boot."""
    data = files.read_bytes(_SECURE_BOOT)
    return data is not None and len(data) >= 5 and data[-1] == 1


def read_driver_state(files: HostFiles, run: Run, kernel: str) -> driver_state.DriverState:
    """Read the three versions and what else a decision needs."""
    kernels = [name for name in files.names("/lib/modules") if files.exists(f"/lib/modules/{name}/modules.dep")]
    newest = max([*kernels, kernel], key=driver_state.kernel_key)
    loaded, loaded_open = driver_state.parse_loaded(files.read("/proc/driver/nvidia/version") or "")
    on_disk, on_disk_open = _module(run, kernel)
    on_disk_newest = on_disk if newest == kernel else _module(run, newest)[0]
    return driver_state.DriverState(
        kernel=kernel,
        newest_kernel=newest,
        loaded=loaded,
        loaded_open=loaded_open,
        on_disk=on_disk,
        on_disk_open=on_disk_open,
        on_disk_newest=on_disk_newest,
        userspace=library_version(files),
        nouveau=files.is_dir("/sys/module/nouveau"),
        gpu_users=tuple(gpu_users(files)),
        headers=files.exists(f"/lib/modules/{kernel}/build"),
        headers_newest=files.exists(f"/lib/modules/{newest}/build"),
    )


def _module(run: Run, kernel: str) -> tuple[str | None, bool | None]:
    status, version, _err = run(["modinfo", "-k", kernel, "-F", "version", "nvidia"])
    if status != 0 or not version.strip():
        return None, None
    status, licence, _err = run(["modinfo", "-k", kernel, "-F", "license", "nvidia"])
    return version.split()[0], (licence.strip() != "NVIDIA" if status == 0 and licence.strip() else None)


def library_version(files: HostFiles) -> str | None:
    """Read the version from the name of the NVML library's file."""
    for folder in _LIBRARY_FOLDERS:
        for name in files.names(folder):
            match = _LIBRARY.match(name)
            if match:
                return match.group(1)
    return None


def gpu_users(files: HostFiles) -> list[str]:
    """Name the processes that hold a card open; the persistence daemon is ours to stop and does not count."""
    users = []
    for pid in files.names("/proc"):
        if not pid.isdigit():
            continue
        open_files = (files.link(f"/proc/{pid}/fd/{number}") or "" for number in files.names(f"/proc/{pid}/fd"))
        if any(target.startswith("/dev/nvidia") for target in open_files):
            name = harmless((files.read(f"/proc/{pid}/comm") or "").strip())
            if not name.startswith("nvidia-persiste"):  # the kernel cuts names to 15 characters
                users.append(f"{name} (pid {pid})")
    return users


def read_persistence(files: HostFiles, header: str) -> dict[str, Any]:
    """Tell whether the persistence daemon has a unit, the drop-in that it needs, and whether that is there."""
    texts = (files.read(f"{folder}/nvidia-persistenced.service") for folder in _PERSISTENCE_UNITS)
    unit = next((text for text in texts if text is not None), None)
    wanted = persistence.drop_in(unit or "")
    wanted = f"{header}\n{wanted}" if wanted else ""
    there = files.read(PERSISTENCE_DROP_IN) or ""
    return {"unit": unit is not None, "path": PERSISTENCE_DROP_IN, "drop_in": wanted, "in_place": there == wanted}


def nvml() -> dict[str, Any]:
    """Ask the real library whether the driver works: the proof that no package manager's exit status can give."""
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
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


def _hex(text: str | None) -> int | None:
    try:
        return int(text or "", 16)
    except ValueError:
        return None


def _number(text: str | None) -> int | None:
    return int(text) if text and text.strip().isdigit() else None
