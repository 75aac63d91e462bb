# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Secure Boot: which modules a kernel loads under it, how a key is enrolled, and which kernel prebuilt modules are for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.distribution import Distribution, Package
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_packages import Source

_RELEASE = re.compile(r"^(\d+)\.(\d+)\.(\d+)-(\d+)-(.+)$")
_META = re.compile(r"^linux-image-([a-z][a-z0-9.-]*)$")


def check(enrolled: bool, source: Source, secure_boot: bool, distribution: Distribution, loaded: bool) -> None:
    """Refuse modules that DKMS would build where the firmware would not let them load; one that is loaded proves its key."""
    if not secure_boot or source is not Source.CUDA_REPO or enrolled or loaded:
        return
    other = "set nvidia_driver_source: distro for Ubuntu's signed modules, " if distribution.id == "ubuntu" else ""
    fail(
        "nvidia_driver_mok_enrolled",
        "Secure Boot is on, and a kernel module built on this host would not load.",
        f"To go on, {other}turn Secure Boot off in the firmware, or enrol a key: {enrolment(distribution)}, reboot at the "
        "console, choose Enroll MOK, and set nvidia_driver_mok_enrolled: true. Nothing was changed.",
    )


def enrolment(distribution: Distribution) -> str:
    """Say how to make and import the key that DKMS of this distribution signs with.

    Ubuntu's dkms uses shim's key (/usr/sbin/dkms, prepare_signing). Debian 12's, 3.0.10, makes one only at its first build; `dkms
    generate_mok` came later (dkms-project/dkms#424) and is in Debian 13.
    """
    if distribution.id == "ubuntu":
        return (
            "`apt-get install dkms mokutil shim-signed`, `update-secureboot-policy --new-key`, "
            "`mokutil --import /var/lib/shim-signed/mok/MOK.der`"
        )
    make = "`dkms generate_mok`"
    if distribution.major == "12":
        make = (
            "`openssl req -new -x509 -nodes -days 36500 -newkey rsa:2048 -subj '/CN=DKMS module signing key/' "
            "-keyout /var/lib/dkms/mok.key -outform DER -out /var/lib/dkms/mok.pub`"
        )
    return f"`apt-get install dkms mokutil openssl`, {make}, `mokutil --import /var/lib/dkms/mok.pub`"


def kernel_flavour(release: str, installed: Mapping[str, Package]) -> str:
    """Name the flavour whose prebuilt modules fit the running kernel, as Ubuntu's metas name it: generic-hwe-24.04, aws, oem-24.04b.

    A release says no more than "generic" for both of Ubuntu's generic kernels; the version of the package that brings it tells which.
    """
    match = _RELEASE.match(release)
    if match is None:
        return "generic"
    base = match.group(5)
    fits: dict[str, int] = {}
    for name, package in installed.items():
        meta = _META.match(name)
        # linux-image-virtual brings the generic kernel without the modules for hardware.
        flavour = meta.group(1).replace("virtual", "generic", 1) if meta else ""
        if flavour == base or flavour.startswith(f"{base}-"):
            fits[flavour] = _leading_equal(re.findall(r"\d+", package.version), match.groups()[:4])
    return max(fits, key=lambda flavour: fits[flavour]) if fits else base


def _leading_equal(numbers: Sequence[str], others: Sequence[str]) -> int:
    count = 0
    for number, other in zip(numbers, others, strict=False):
        if number != other:
            break
        count += 1
    return count
