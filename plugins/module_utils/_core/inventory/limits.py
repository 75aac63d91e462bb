# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the type of a variable does not say of its values: numbers in bounds, folders of the host, images, addresses, names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail

# Folders of ours on a host. The controller's are where Ansible looks for them.
FOLDERS = (
    "vllm_stack_project_dir",
    "vllm_stack_state_dir",
    "vllm_stack_cache_dir",
    "vllm_stack_venv",
    "docker_engine_data_root",
    "gateway_acme_dir",
    "gateway_drain_dir",
)
# The gateway looks at its own image.
IMAGES = ("vllm_stack_engine_image", "nvidia_container_toolkit_prove_image")
# What waits this long ends at once if it is nothing.
_NOT_ZERO = frozenset(
    {
        "vllm_stack_timeout_s",
        "vllm_stack_stall_timeout_s",
        "vllm_stack_fetch_stall_timeout_s",
        "vllm_stack_fetch_workers",
        "nvidia_driver_reboot_timeout_s",
        "nvidia_container_toolkit_prove_timeout_s",
        "benchmark_timeout_s",
    }
)
_PROJECT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_FOLDER = re.compile(r"(/[A-Za-z0-9._+@-]+)+/?")
# What belongs to the system as a whole: the folder itself, not what is below it.
_OF_THE_SYSTEM = re.compile(
    r"/*(bin|boot|dev|etc|home|lib|lib64|media|mnt|opt|proc|root|run|sbin|srv|sys|tmp"
    r"|usr(/bin|/lib|/local|/local/bin|/sbin|/share)?|var(/cache|/lib|/log|/tmp)?)?/*"
)
# As Docker reads a reference: a registry, a path in small letters, a tag, a digest.
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?:(?:localhost|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+|[A-Za-z0-9-]+(?=:[0-9]+/))(?::[0-9]{{1,5}})?/)?{_PART}(?:/{_PART})*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
_ADDRESS = re.compile(r"(?:https?://[^\s/]+|file:///)\S*")


def mistakes(specs: Mapping[str, Mapping[str, Any]], values: Mapping[str, Any]) -> Iterator[FleetError]:
    """Say what is wrong with values whose types are right."""
    for name, value in values.items():
        check = _check_of(name, str(specs.get(name, {}).get("type", "str")))
        try:
            if check:
                check(name, value)
        except FleetError as error:
            yield error


def _check_of(name: str, kind: str) -> Callable[[str, Any], None] | None:
    if kind in ("int", "float"):
        return _number
    if name in FOLDERS:
        return _folder
    if name in IMAGES:
        return _image
    if name == "vllm_stack_project_name":
        return _project
    return _address if name.endswith(("_url", "_endpoint")) else None


def _number(name: str, value: Any) -> None:
    number = float(value)
    if number < 0:
        fail(name, f"{value} is less than nothing.", f"Take {'1' if name in _NOT_ZERO else '0'} or more.")
    if number == 0 and name in _NOT_ZERO:
        fail(name, "with 0 it would end before it has begun.", "Take 1 or more.")


def _folder(name: str, value: Any) -> None:
    path = str(value)
    if not path and name == "docker_engine_data_root":
        return
    if path.startswith("/") and _OF_THE_SYSTEM.fullmatch(path):
        fail(name, f"{path} belongs to the system.", f"Name a folder below it, such as {path.rstrip('/')}/gpuserve.")
    if not _FOLDER.fullmatch(path) or {".", ".."} & set(path.split("/")):
        what = "it is empty." if not path else f"{ascii(value)[:60]} is no whole path."
        fail(name, what, "Write one such as /srv/gpuserve: letters, digits and . _ + @ - between slashes.")


def _image(name: str, value: Any) -> None:
    if not _IMAGE.fullmatch(str(value)):
        what = f"{ascii(value)[:80]} is no image." if value else "it is empty."
        fail(name, what, "Write its name in small letters and a tag or a digest, such as vllm/vllm-openai:v0.33.0.")


def _project(name: str, value: Any) -> None:
    if not _PROJECT.fullmatch(str(value)):
        fail(
            name,
            f"{ascii(value)[:60]} is no name for a Compose project.",
            "Use lower-case letters, digits, dash and underscore, beginning with a letter or digit.",
        )


def _address(name: str, value: Any) -> None:
    if value and not _ADDRESS.fullmatch(str(value)):
        # It is not shown: an account may stand in it.
        fail(name, "it is no address.", "Write it whole, as https://HOST/PATH.")
