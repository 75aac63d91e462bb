# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of variables: which look like ours and are not, and which of ours was meant."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from fnmatch import fnmatchcase

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spelling import nearest

# Names that are somebody else's all the same: patterns, as a shell has them.
OTHERS = "gpuserve_other_variables"
# What is said of hosts for the fleet as a whole, and read of all of them at once.
LABELS, QUARANTINE, MAX_MODELS = "gpuserve_labels", "gpuserve_quarantine", "gpuserve_max_models"
QUARANTINE_FILE, CANARY_LABEL = "gpuserve_quarantine_file", "gpuserve_canary_label"
# Nobody else begins a name like these.
_OURS = ("vllm_stack_", "docker_engine_", "nvidia_driver_", "nvidia_container_toolkit_", "gpuserve_")
# Others have such names too: gateway_ip is a network's. One is taken for ours only where a name of ours is near.
_SHARED = (
    "gateway_",
    "airgap_",
    "preflight_",
    "plan_",
    "diagnose_",
    "drift_",
    "usage_",
    "fit_",
    "key_",
    "calibration_",
    "benchmark_",
    "backup_",
    "quarantine_",
)
PREFIXES = _OURS + _SHARED
# How Ansible reaches a host. A slip in one of these is not seen by Ansible, which then takes the host's name or its own default.
_CONNECTION = (
    "host",
    "port",
    "user",
    "password",
    "connection",
    "become",
    "become_user",
    "become_method",
    "become_password",
    "python_interpreter",
    "ssh_private_key_file",
    "ssh_common_args",
)
_ALSO_ANSIBLES = ("become_pass", "private_key", "private_key_file", "ssh_private_key", "ssh_args", "ssh_extra_args")
_CONNECTION_SLIP = 0.85
# With its prefix, a name is like every other name of it: this much alike is a slip of the hand.
_SLIP = 0.9


def unknown(names: Iterable[str], known: Collection[str], others: Collection[str] = ()) -> Iterator[FleetError]:
    """Name each variable that looks like ours and is none, with the one that is nearest."""
    for name in sorted(names):
        if name in known or name.startswith("_") or any(fnmatchcase(name, other) for other in others):
            continue
        if name.startswith("ansible_"):
            meant = _meant_of_ansible(name.removeprefix("ansible_"))
        else:
            meant = _meant(name.replace("-", "_"), known)
        if meant or name.startswith(_OURS):
            remedy = f"Did you mean {meant}?" if meant else "Remove it."
            yield FleetError(name, "there is no such variable.", f"{remedy} If it is another's, list it in {OTHERS}.")


def _meant_of_ansible(rest: str) -> str:
    near = "" if rest in _CONNECTION + _ALSO_ANSIBLES else nearest(rest, _CONNECTION, _CONNECTION_SLIP)
    return f"ansible_{near}" if near else ""


def _meant(name: str, known: Collection[str]) -> str:
    if name in known:
        return name
    if name.startswith("vllm_") and f"vllm_stack_{name.removeprefix('vllm_')}" in known:
        return f"vllm_stack_{name.removeprefix('vllm_')}"
    prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), "")
    if prefix:
        rests = {other.removeprefix(prefix): other for other in known if other.startswith(prefix)}
        near = nearest(name.removeprefix(prefix), rests)
        if near:
            return rests[near]
    return nearest(name, known, _SLIP)
