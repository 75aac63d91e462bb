# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts of an inventory that are one machine: both would be changed at once, each as if it were alone."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError

# The ways to a host by an address; a container's or a local one is another thing.
_BY_ADDRESS = ("", "smart", "ssh", "paramiko", "paramiko_ssh", "ansible.builtin.ssh", "ansible.builtin.paramiko_ssh")
# The same address behind another jump host is another machine, and a second stack on one is a host of its own name.
_APART = ("ansible_ssh_common_args", "ansible_ssh_extra_args", "vllm_stack_project_name")


def twice(hosts: Mapping[str, Mapping[str, object]]) -> tuple[FleetError, ...]:
    """Return a mistake for each address that several hosts have, by the variables of each as they are written."""
    owners: dict[tuple[str, ...], list[str]] = {}
    for name, variables in hosts.items():
        way = [variables.get(word) for word in ("ansible_host", "ansible_connection", "ansible_port", *_APART)]
        # What is encrypted is nobody's to read here, and a template may come to another value on each host.
        if any(not (value is None or isinstance(value, (str, int))) or "{" in str(value) for value in way):
            continue
        address, connection, port, *rest = ("" if value is None else str(value) for value in way)
        if connection in _BY_ADDRESS:
            owners.setdefault((address or name, port or "22", *rest), []).append(name)
    return tuple(
        FleetError(
            "ansible_host",
            f"{', '.join(names[:-1])} and {names[-1]} have one address, {address}.",
            "Give each host its own, or take one out.",
        )
        for (address, *_rest), names in owners.items()
        if len(names) > 1
    )
