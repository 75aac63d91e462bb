# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine has otherwise that is one of several hosts': the host's network, where it meets the others, and for most no API.

Source: vLLM, distributed/device_communicators/shm_broadcast.py and utils/network_utils.py: the first host binds VLLM_HOST_IP at ports that
it chooses as it starts, and so do gloo and NCCL. No list of published ports holds those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.distributed_rule import Distributed
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import ModelSpec


def is_headless(spec: ModelSpec) -> bool:
    """Whether an engine has no API: it computes for the first host of its group."""
    return spec.distributed is not None and spec.distributed.is_headless


def has_ranks(spec: ModelSpec, model: Mapping[str, Any]) -> bool:
    """Whether an engine is one of several processes that compute together."""
    return spec.distributed is not None or bool(model["tensor_parallel_size"] > 1)


def place(spec: ModelSpec) -> str:
    """Return an engine's place among those of its hosts, such as 0/2; nothing where it is alone."""
    group = spec.distributed
    return f"{group.member.rank}/{group.hosts}" if group is not None and group.member is not None else ""


def meeting_point(spec: ModelSpec) -> str:
    """Return where the engines of a group find together, an address and a port; nothing where one is alone."""
    group = spec.distributed
    return (
        f"{group.member.master_address}:{group.master_port}" if group is not None and group.member is not None else ""
    )


def environment(spec: ModelSpec, interfaces: Mapping[str, str]) -> dict[str, str]:
    """Return where an engine meets those of other hosts; gloo and NCCL would take the first interface, such as one of Docker's."""
    if spec.distributed is None or spec.distributed.member is None:
        return {}
    own = spec.distributed.member.address
    interface = interfaces.get(own, "")
    # With = NCCL takes a name as it is, and not as the beginning of one.
    names = {"GLOO_SOCKET_IFNAME": interface, "NCCL_SOCKET_IFNAME": f"={interface}"} if interface else {}
    return {"VLLM_HOST_IP": own, **names}


def addresses(specs: Sequence[ModelSpec]) -> list[str]:
    """Return the addresses at which this host is one of a group."""
    return [spec.distributed.member.address for spec in specs if spec.distributed and spec.distributed.member]


def check_interface(address: str, interface: str) -> None:
    """Refuse an address that the host does not have: an engine would die of binding it."""
    if not interface:
        fail("gpuserve_address", f"{address} is on no interface of this host.", "Write the address that it has itself.")


def warnings(specs: Sequence[ModelSpec]) -> list[str]:
    """What a group of hosts opens, a sentence a model."""
    return [
        f"{spec.name} is spread over several hosts: its engine is in the host's own network, listens at {spec.distributed.member.address} "
        f"at ports that it chooses{_master(spec.distributed)}, and asks nobody for a key there. Whoever reaches them may run code in it: "
        "keep them to the hosts of the group."
        for spec in specs
        if spec.distributed and spec.distributed.member
    ]


def _master(group: Distributed) -> str:
    return "" if group.is_headless else f" and at {group.master_port} on every address"
