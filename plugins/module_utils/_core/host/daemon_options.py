# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the Docker daemon that its own look lets through, and that a running daemon, or a container, then dies of."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError

_CGROUP_DRIVERS = frozenset({"cgroupfs", "systemd"})
_BUILT_IN_RUNTIMES = frozenset({"runc", "io.containerd.runc.v2"})
# As Docker's own reader takes it: fractions, a blank and units with i and B, too.
_SIZE = re.compile(r"^(?=.*[1-9])\d+(\.\d+)? ?([kmgtp]i?)?b?$", re.IGNORECASE)


@dataclass(frozen=True)
class HostState:
    """What the checks need to know about the host."""

    swarm_active: bool = False
    hosts_flag: bool = False
    files: frozenset[str] = field(default_factory=frozenset)


def check(options: Mapping[str, Any], host: HostState, variables: Mapping[str, str], path: str) -> None:
    """Refuse what `dockerd --validate` lets through and a running daemon, or a container, then dies of."""

    def fail(key: str, rest: str, problem: str, cure: str) -> None:
        where = f"{variables[key]}{rest}" if key in variables else f"{path}: {key}{rest}"
        raise FleetError(f"{where}: {problem}", f"{cure} Nothing was changed.", field=where)

    _check_pools(options.get("default-address-pools"), fail)
    runtimes = options.get("runtimes")
    names = set(runtimes) if isinstance(runtimes, Mapping) else set()
    default_runtime = options.get("default-runtime")
    if default_runtime is not None and default_runtime not in names | _BUILT_IN_RUNTIMES:
        fail(
            "default-runtime",
            "",
            f"no runtime is named {default_runtime!r}.",
            f"Define it under runtimes, or use one of {', '.join(sorted(names | {'runc'}))}.",
        )
    if isinstance(runtimes, Mapping):
        for name, runtime in runtimes.items():
            program = runtime.get("path") if isinstance(runtime, Mapping) else None
            if isinstance(program, str) and program.startswith("/") and program not in host.files:
                fail(
                    "runtimes",
                    f".{name}.path",
                    f"{program} does not exist.",
                    "Install the program first, or correct the path.",
                )
    for option in _strings(options.get("exec-opts")):
        key, _sep, value = option.partition("=")
        if key == "native.cgroupdriver" and value not in _CGROUP_DRIVERS:
            fail(
                "exec-opts",
                "",
                f"{value!r} is no cgroup driver.",
                "Use native.cgroupdriver=systemd or native.cgroupdriver=cgroupfs.",
            )
    log_options = options.get("log-opts")
    if isinstance(log_options, Mapping):
        for key, value in log_options.items():
            if not isinstance(value, str):
                fail("log-opts", f".{key}", f"{value!r} must be a text.", f'Write "{value}" in quotes.')
        size = log_options.get("max-size")
        if isinstance(size, str) and size != "-1" and not _SIZE.match(size):
            fail("log-opts", ".max-size", f"{size!r} is no size.", "Write a whole number and k, m or g, such as 50m.")
    if options.get("live-restore") and host.swarm_active:
        fail(
            "live-restore",
            "",
            "a node of a swarm can't keep containers through a restart of Docker.",
            "Set docker_engine_live_restore: false.",
        )
    if "hosts" in options and host.hosts_flag:
        fail(
            "hosts",
            "",
            "the docker service already passes -H, and dockerd refuses to start with both.",
            "Remove one of the two.",
        )


def _strings(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _check_pools(pools: Any, fail: Any) -> None:
    if not isinstance(pools, list):
        return
    seen: list[tuple[int, ipaddress.IPv4Network | ipaddress.IPv6Network]] = []
    for index, pool in enumerate(pools):
        base = pool.get("base") if isinstance(pool, Mapping) else None
        size = pool.get("size") if isinstance(pool, Mapping) else None
        where = f"[{index}]"
        try:
            network = ipaddress.ip_network(str(base))
        except ValueError:
            fail(
                "default-address-pools",
                f"{where}.base",
                f"{base!r} is not a network.",
                "Write one with its first address, such as 10.200.0.0/16.",
            )
            return
        if not isinstance(size, int) or not network.prefixlen <= size <= network.max_prefixlen:
            fail(
                "default-address-pools", f"{where}.size", f"{size!r} does not cut {base} into networks.",
                f"Use a prefix length from {network.prefixlen} to {network.max_prefixlen}, such as 24.",
            )  # fmt: skip
        for other, taken in seen:
            if taken.version == network.version and taken.overlaps(network):  # type: ignore[arg-type]
                fail(
                    "default-address-pools",
                    f"{where}.base",
                    f"{base} overlaps pool [{other}] ({taken}).",
                    "Use networks that don't overlap.",
                )
        seen.append((index, network))
