# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which toolkit a host gets, and when the CDI description of its GPUs no longer holds."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import container_toolkit as ct
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.distribution import Distribution, Package

NOBLE = Distribution("ubuntu", "24.04", "24", "noble", "debian", "Ubuntu 24.04")
# As `nvidia-ctk cdi generate` writes them, cut down.
SPEC = """---
cdiVersion: 0.5.0
containerEdits:
  env:
  - NVIDIA_VISIBLE_DEVICES=void
  hooks:
  - args: [nvidia-cdi-hook, create-symlinks, --link, "libcuda.so.1::/usr/lib/x86_64-linux-gnu/libcuda.so"]
    hookName: createContainer
    path: /usr/bin/nvidia-cdi-hook
  mounts:
  - containerPath: /usr/bin/nvidia-smi
    hostPath: /usr/bin/nvidia-smi
    options: [ro, nosuid, nodev, rbind]
  - containerPath: /usr/lib/x86_64-linux-gnu/libcuda.so.580.95.05
    hostPath: /usr/lib/x86_64-linux-gnu/libcuda.so.580.95.05
  - containerPath: /usr/lib/x86_64-linux-gnu/libnvidia-egl-wayland.so.1.1.20
    hostPath: /usr/lib/x86_64-linux-gnu/libnvidia-egl-wayland.so.1.1.20
  - hostPath: "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.580.95.05"
"""
HOLDS = ct.Spec(ct.RUN_SPEC, "580.178.04")
OLD = ct.Spec(ct.RUN_SPEC, "580.95.05")
OLD_IN_ETC = ct.Spec(ct.ETC_SPEC, "570.86.10")


def host(version: str = "1.20.1-1", held: bool = False, **values: Any) -> ct.Host:
    """A host with the toolkit, Docker and a driver that works."""
    installed = {name: Package(version, held) for name in ct.PACKAGES} if version else {}
    good: dict[str, Any] = {
        "docker_answers": True,
        "docker_version": "29.10.0",
        "loaded": "580.178.04",
        "library": "580.178.04",
        "specs": (HOLDS,),
    }
    return ct.Host(**{"uid": 0, "distribution": NOBLE, "installed": installed, **good, **values})


def decide(on: ct.Host, version: str = "1.20.1", **request: Any) -> ct.Decision:
    return ct.decide(ct.Request(version, **request), on)


def test_a_host_as_it_should_be_needs_nothing() -> None:
    decision = decide(host())
    assert (decision.missing, decision.describe, decision.notes, decision.refusals) == ((), "", (), ())


def test_the_driver_s_libraries_are_read_from_a_description_and_no_others() -> None:
    folder = "/usr/lib/x86_64-linux-gnu"
    assert ct.libraries(SPEC) == {
        f"{folder}/libcuda.so.580.95.05": "580.95.05",
        f"{folder}/libnvidia-ml.so.580.95.05": "580.95.05",
    }


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"version": ""}, "the toolkit changes"),
        ({"specs": ()}, "no GPU has a CDI name yet"),
        (
            {"specs": (OLD,)},
            "/var/run/cdi/nvidia.yaml describes driver 580.95.05, and the host has 580.178.04",
        ),
        # unattended-upgrades changed the library; the module follows with the next boot.
        (
            {"specs": (OLD,), "loaded": "580.95.05"},
            "/var/run/cdi/nvidia.yaml describes driver 580.95.05, and the host has 580.178.04",
        ),
        (
            {"specs": (OLD,), "library": None},
            "/var/run/cdi/nvidia.yaml describes driver 580.95.05, and the host has 580.178.04",
        ),
        # A specification of an older recipe names no GPU that is there.
        (
            {"specs": (OLD_IN_ETC,)},
            "/etc/cdi/nvidia.yaml describes driver 570.86.10, and the host has 580.178.04",
        ),
        (
            {"specs": (ct.Spec(ct.RUN_SPEC, "580.178.04", ("/usr/lib/libcuda.so.580.178.04",)),)},
            "/var/run/cdi/nvidia.yaml names /usr/lib/libcuda.so.580.178.04, which is not there",
        ),
        ({"specs": (HOLDS, OLD_IN_ETC)}, ""),
        ({"specs": (OLD,), "library": None, "loaded": None}, ""),
        ({"specs": (ct.Spec(ct.RUN_SPEC),)}, ""),
    ],
)
def test_when_the_gpus_are_described_anew(values: dict[str, Any], reason: str) -> None:
    assert decide(host(**values)).describe == reason


@pytest.mark.parametrize(
    ("version", "systemd", "output"),
    [("1.20.1", True, ""), ("1.17.8", True, ct.ETC_SPEC), ("1.20.1", False, ct.RUN_SPEC)],
)
def test_who_writes_the_description(version: str, systemd: bool, output: str) -> None:
    assert decide(host(systemd=systemd), version, allow_downgrade=True).output == output


def test_an_old_description_beside_one_that_holds_is_mentioned() -> None:
    (note,) = decide(host(specs=(HOLDS, OLD_IN_ETC))).notes
    assert (
        note.startswith("/etc/cdi/nvidia.yaml describes driver 570.86.10") and "Run `rm /etc/cdi/nvidia.yaml`" in note
    )


def test_docker_that_forgets_containers_with_a_gpu_is_mentioned() -> None:
    (note,) = decide(host(docker_version="26.1.5+dfsg1")).notes
    assert note.startswith("Docker 26.1.5+dfsg1 does not bring containers with a GPU back when it starts")


@pytest.mark.parametrize(
    ("on", "version", "said"),
    [
        (host(uid=1000), "1.20.1", "needs root on the host"),
        (host("1.16.2-1"), "1.16.2", "lets a container take the host over (CVE-2025-23266)"),
        (host(docker_version="20.10.24+dfsg1"), "1.20.1", "can't read the CDI specification"),
        (host("1.19.1-1", held=True), "1.20.1", "is on hold and would have to change to 1.20.1"),
        (
            host("1.21.0-1"),
            "1.20.1",
            "nvidia_container_toolkit_version: 1.20.1 is older than the installed 1.21.0. Set it to 1.21.0,",
        ),
        (host(distribution=Distribution("arch", "", "", "", "", "Arch Linux")), "1.20.1", "does not know Arch Linux"),
    ],
)
def test_what_is_refused(on: ct.Host, version: str, said: str) -> None:
    assert said in decide(on, version).refusals[0]


def test_a_newer_toolkit_is_put_down_with_consent_only() -> None:
    decision = decide(host("1.21.0-1"), allow_downgrade=True)
    assert (decision.refusals, len(decision.missing)) == ((), 4)


def test_packages_on_hold_that_stay_are_no_obstacle() -> None:
    assert decide(host(held=True)).refusals == ()
