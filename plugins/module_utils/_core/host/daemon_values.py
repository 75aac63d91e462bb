# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of daemon.json that `dockerd --validate` lets through and a running daemon, or a container, dies of, told without the host."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail

# Option, the place in it, what is wrong, the remedy.
Refuse = Callable[[str, str, str, str], None]

_CGROUP_DRIVERS = frozenset({"cgroupfs", "systemd"})
# As Docker's own reader takes it: fractions, a blank and units with i and B, too.
_SIZE = re.compile(r"^(?=.*[1-9])\d+(\.\d+)? ?([kmgtp]i?)?b?$", re.IGNORECASE)


def mistakes(options: Mapping[str, Any], where: Callable[[str], str]) -> Iterator[FleetError]:
    """Say what is wrong first; `where` names the place of an option."""

    def refuse(key: str, rest: str, problem: str, remedy: str) -> None:
        fail(f"{where(key)}{rest}", problem, remedy)

    try:
        check(options, refuse)
    except FleetError as error:
        yield error


def check(options: Mapping[str, Any], refuse: Refuse) -> None:
    """Refuse pools, drivers and sizes that can't be."""
    _check_pools(options.get("default-address-pools"), refuse)
    for option in _strings(options.get("exec-opts")):
        key, _sep, value = option.partition("=")
        if key == "native.cgroupdriver" and value not in _CGROUP_DRIVERS:
            refuse(
                "exec-opts",
                "",
                f"{value!r} is no cgroup driver.",
                "Use native.cgroupdriver=systemd or native.cgroupdriver=cgroupfs.",
            )
    log_options = options.get("log-opts")
    if isinstance(log_options, Mapping):
        for key, value in log_options.items():
            if not isinstance(value, str):
                refuse("log-opts", f".{key}", f"{value!r} must be a text.", f'Write "{value}" in quotes.')
        size = log_options.get("max-size")
        if isinstance(size, str) and size != "-1" and not _SIZE.match(size):
            refuse("log-opts", ".max-size", f"{size!r} is no size.", "Write a whole number and k, m or g, such as 50m.")


def _strings(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _check_pools(pools: Any, refuse: Refuse) -> None:
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
            refuse(
                "default-address-pools",
                f"{where}.base",
                f"{base!r} is not a network.",
                "Write one with its first address, such as 10.200.0.0/16.",
            )
            return
        if not isinstance(size, int) or not network.prefixlen <= size <= network.max_prefixlen:
            refuse(
                "default-address-pools", f"{where}.size", f"{size!r} does not cut {base} into networks.",
                f"Use a prefix length from {network.prefixlen} to {network.max_prefixlen}, such as 24.",
            )  # fmt: skip
        for other, taken in seen:
            if taken.version == network.version and taken.overlaps(network):  # type: ignore[arg-type]
                refuse(
                    "default-address-pools",
                    f"{where}.base",
                    f"{base} overlaps pool [{other}] ({taken}).",
                    "Use networks that don't overlap.",
                )
        seen.append((index, network))
