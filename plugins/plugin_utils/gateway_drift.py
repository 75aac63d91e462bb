# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway as its host has it and as the inventory wants it, in one shape, so that the core can compare both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import view
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway.config import Gateway
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.gateway_files import Rendered

# Compared by themselves, told by the host, or the place of a key, of which a screen needs to know nothing.
NO_SETTINGS = ("models", "keys", "uid", "gid", "tls_key")


def found(live: Mapping[str, Any], saved: Mapping[str, Any], runs: bool | None) -> dict[str, Any]:
    """Return what a host has: its live configuration, the variables of the run that wrote it, and whether it runs, where that is known."""
    return {
        "there": live["there"],
        "runs": runs,
        "files": {**live["files"], "data.json": _rest(live["data"])},
        "settings": {name: value for name, value in saved.items() if name not in NO_SETTINGS},
        "code": live["code"],
        "certificate": live["certificate"],
        **_decided(live["data"]),
    }


def wanted(gateway: Gateway, settings: Mapping[str, Any], files: Mapping[str, str]) -> dict[str, Any]:
    """Return what the inventory comes to; of files that are not code, `written` says what they were."""
    code = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items() if name.endswith(".lua")}
    return {
        "settings": {name: value for name, value in settings.items() if name not in NO_SETTINGS},
        "code": code,
        "certificate_names": view.certificate_names(gateway) if gateway.tls == "self_signed" else [],
        **_decided(view.data(gateway)),
    }


def written(gateway: Gateway, rendered: Rendered) -> dict[str, str]:
    """Return the sums of the files that a run with these variables wrote, but for code, which has sums of its own."""
    files = {name: text for name, text in rendered.files.items() if not name.endswith(".lua") and name != "data.json"}
    files["compose.yml"] = rendered.compose
    sums = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()}
    return {**sums, "data.json": _rest(view.data(gateway))}


def _rest(data: Mapping[str, Any]) -> str:
    """Return the sum of what is decided besides models and keys, which are compared by themselves."""
    rest = {name: value for name, value in data.items() if name not in ("models", "keys", "generation")}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _decided(data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "models": {str(model["name"]): model for model in data.get("models", [])},
        "keys": {str(key["name"]): {**key, "key": digest} for digest, key in data.get("keys", {}).items()},
    }
