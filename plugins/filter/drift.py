# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: drift
short_description: In what a host differs from its inventory
version_added: 0.2.0
author: gpuserve.fleet contributors (@gpuserve)
description:
  - Compares what modules read on a host with what its variables ask for.
options:
  _input:
    description:
      - What was read, with C(driver), C(toolkit), C(stack) and C(gateway), as playbooks/drift.yml puts it together. A part that is left
        out is not compared.
    type: dict
    required: true
  host:
    description: The host's name in the inventory.
    type: str
    required: true
  quarantine:
    description: Why the host is out of service. What differs there is told, and is no drift.
    type: str
    default: ""
positional: host, quarantine
"""

EXAMPLES = r"""
- name: Show in what the host differs
  gpuserve.fleet.show:
    text: "{{ (read | gpuserve.fleet.drift(inventory_hostname)).table }}"
"""

RETURN = r"""
_value:
  description: C(status), which is V(ok), V(drift) or V(quarantine); C(differences), a row each; and C(table), the lines for people.
  type: dict
"""

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import yaml

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet import drift as core
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.record import is_as_written
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.plain import plain


def drift(read: Any, host: str, quarantine: Any = "") -> dict[str, Any]:
    """Return the differences of a host, for programs and for people."""
    found = plain(read)
    gateway = _gateway(found.get("gateway") or {}, bool(found.get("gateway_unasked")))
    differences = [*_host(found), *_stack(found.get("stack") or {}), *gateway]
    reason = str(quarantine or "")
    status = "ok" if not differences else "quarantine" if reason else "drift"
    return {
        "status": status,
        "differences": [asdict(one) for one in differences],
        "table": core.table(host, differences, reason),
    }


def _host(found: Mapping[str, Any]) -> Iterator[core.Difference]:
    if driver := found.get("driver"):
        asked = (int(driver["branch"] or 0), str(driver["version"] or "")) if driver["source"] != "host" else (0, "")
        yield from core.driver(*asked, core.installed_driver(driver["found"]), driver["found"]["decision"])
    if toolkit := found.get("toolkit"):
        there = toolkit["found"]
        yield from core.toolkit(str(toolkit["version"]), there["installed"], there["decision"]["missing"])


def _stack(stack: Mapping[str, Any]) -> Iterator[core.Difference]:
    if not stack:
        return
    record = stack["proved"]
    if not is_as_written(record) or not isinstance(record.get("services"), list):
        record = {"services": [], "plan": {}}
    proved = _engines(record["services"], _text(stack["compose"]))
    if stack.get("failure"):
        yield core.Difference("engines", "can't be compared", str(stack["failure"]), core.STACK)
        yield from core.names_only(stack["models"], proved)
        return
    rendered = stack.get("rendered") or {}
    if stack["models"]:
        yield from core.image(str(stack["image"]), str((record.get("plan") or {}).get("image") or ""))
    # None where Docker does not answer.
    running = {one["model"]: one["digest"] for one in stack["running"]} if stack["running"] is not None else None
    wanted = _engines(rendered.get("services", []), rendered.get("content", ""))
    yield from core.engines(wanted, proved, running)
    yield from core.stack_files(rendered.get("changed_files", []), wanted, proved)


def _gateway(answer: Mapping[str, Any], is_unasked: bool) -> Iterator[core.Difference]:
    if is_unasked:
        yield core.Difference("gateway: container", "runs", core.NONE, core.GATEWAY)
    if "differences" not in answer and answer.get("msg"):
        yield core.Difference("gateway", "can't be compared", str(answer.get("msg", "")), core.GATEWAY)
    for one in answer.get("differences", []):
        yield core.Difference(**one)


def _engines(services: Any, compose: str) -> dict[str, core.Engine]:
    """Return the engines of a set by name, each with its service in the compose file where that can be read."""
    try:
        written = (yaml.safe_load(compose) or {}).get("services") or {}
    except (yaml.YAMLError, AttributeError):
        written = {}
    return {
        str(entry["name"]): core.Engine(written.get(entry["name"]) or {}, str(entry.get("digest", "")))
        for entry in services
        if isinstance(entry, Mapping) and "name" in entry
    }


def _text(slurped: Mapping[str, Any]) -> str:
    return base64.b64decode(slurped.get("content") or "").decode(errors="replace")


class FilterModule:
    """The filter, for Ansible to find."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name it."""
        return {"drift": drift}
