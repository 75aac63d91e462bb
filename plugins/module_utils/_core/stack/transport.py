# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How engines and whoever asks them meet: on Unix sockets, or on ports of loopback."""

from __future__ import annotations

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine import vllm
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.compose import SOCKET, TCP

VARIABLE = "vllm_stack_transport"
AUTO = "auto"
TRANSPORTS = (AUTO, SOCKET, TCP)


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
