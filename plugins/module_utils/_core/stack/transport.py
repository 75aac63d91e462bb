# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How engines and whoever asks them meet: on Unix sockets, or on ports of loopback."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import sockets
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine import vllm
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.compose import SOCKET, TCP

VARIABLE = "vllm_stack_transport"
AUTO = "auto"
# The tag of the gateway's role in site.yml.
GATEWAY_TAG = "gateway"
TRANSPORTS = (AUTO, SOCKET, TCP)
# The first Docker that drops what comes from elsewhere for a port that is published on loopback.
LOOPBACK_IS_CLOSED = 28


def gateway_serves(
    claims: bool,
    runs: bool,
    serving: Iterable[Mapping[str, Any]],
    run_tags: Collection[str],
    skip_tags: Collection[str],
) -> bool:
    """Tell whether clients come in by a gateway of the host: one that runs, or that this run starts.

    Engines that are on sockets already stay there: their gateway may be down at the moment.
    """
    starts = GATEWAY_TAG not in skip_tags and bool({"all", "tagged", GATEWAY_TAG} & set(run_tags))
    moved = any(str(met).startswith(sockets.SCHEME) for entry in serving for met in entry.get("endpoints") or ())
    return claims and (runs or starts or moved)


def choose(wanted: str, version: str, gateway: bool) -> str:
    """The transport of a stack. Sockets are only root's and the gateway's: without a gateway, clients come to the ports."""
    if wanted not in TRANSPORTS:
        fail(VARIABLE, f"there is no transport {wanted!r}.", f"Take one of {', '.join(TRANSPORTS)}.")
    profile = vllm.profile(version)
    if wanted == SOCKET and not profile.sockets:
        fail(
            VARIABLE, f"vLLM {profile.shown} does not listen on a socket.", f"Set it to {AUTO}, or take a newer image."
        )
    if wanted == AUTO:
        return SOCKET if gateway and profile.sockets else TCP
    return wanted


def too_old(transport: str, version: str, gateway: bool) -> list[str]:
    """Why engines are on ports although a gateway serves them, where nobody wanted that."""
    profile = vllm.profile(version)
    if transport == SOCKET or not gateway or profile.sockets:
        return []
    return [
        f"vLLM {profile.shown} does not listen on a socket: engines are on ports of loopback, which every account of the host reaches. "
        "Take an image of 0.10.1 or newer."
    ]


def warnings(transport: str, network: str, docker_version: str, has_key: bool) -> list[str]:
    """What a stack opens that a careful operator would close; a sentence each."""
    found = []
    if network == "host":
        found.append(
            "vllm_stack_network is host: engines are in the host's own network, reach what it reaches (services on its loopback, too) "
            "and bind what they open there. Set it to bridge where Docker has iptables."
        )
    numbers = re.match(r"(\d+)\.", docker_version)
    if transport == TCP and network == "bridge" and numbers and int(numbers[1]) < LOOPBACK_IS_CLOSED:
        found.append(
            f"Docker {docker_version} lets others of the same network reach ports that are published on loopback (moby issue 45610): "
            f"engines answer them {'where they have the key' if has_key else 'without a key'}. Update Docker to {LOOPBACK_IS_CLOSED}, "
            "or put the gateway before the engines, with which they listen on sockets."
        )
    return found
