# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is on a gateway's host: Docker, our container, who listens, and what an earlier run left."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import image_pin
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.gateway.sets import read
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.net import listeners

CONTAINER = ACCOUNT = "gpuserve-gateway"
FIRST_KEY, SETTINGS, IMAGES = "default-key.sha256", "settings.json", "images.json"
Run = Callable[[list[str]], tuple[int, str, str]]


def probe(folder: Path, image: str, ports: Sequence[int], paths: Sequence[str], run: Run) -> dict[str, Any]:
    """Read all that the core judges a host by."""
    try:
        has_compose = run(["docker", "compose", "version", "--short"])[0] == 0
    except OSError:
        has_compose = False
    container = _inspect(run) if has_compose else {}
    return {
        "has_compose": has_compose,
        "kept_image": _kept_image(folder, image, run) if has_compose and image else "",
        "is_running": bool(container.get("State", {}).get("Running")),
        "listen": (container.get("Config", {}).get("Labels") or {}).get("fleet.gpuserve.listen", ""),
        "listening": listeners(HostFiles(), ports, [container["Id"]] if container else []),
        "missing": [path for path in paths if not os.path.exists(path)],
        "first_key_sha256": (read(folder / FIRST_KEY) or b"").decode().strip(),
        **_account(),
    }


def settings(folder: Path) -> dict[str, Any] | None:
    """Read what the last run kept of the role's variables, engines' keys included; None where there was none."""
    saved = read(folder / SETTINGS)
    if not saved:
        return None
    try:
        found = json.loads(saved)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        fail(
            str(folder / SETTINGS),
            "the file is damaged: it is not what the gateway's role wrote.",
            "Remove it and run playbooks/site.yml, which writes it anew.",
        )
    return found


def _account() -> dict[str, int]:
    try:
        entry = pwd.getpwnam(ACCOUNT)
    except KeyError:
        return {"uid": 0, "gid": 0}
    return {"uid": entry.pw_uid, "gid": entry.pw_gid}


def _kept_image(folder: Path, image: str, run: Run) -> str:
    """Return the image that a name stands for on this host; nothing where it is not there, or its digest is yet to be kept."""
    try:
        known = image_pin.read(json.loads(read(folder / IMAGES) or b"{}"))
    except ValueError:
        known = {}
    wanted = image_pin.wanted(image, known, renew=False)
    code, out, _error = run(["docker", "image", "inspect", "--format", image_pin.DIGESTS, wanted])
    if code:
        return ""
    pinned = wanted if image_pin.by_digest(wanted) else image_pin.pin(image, out.split()[1:])
    return (pinned or image) if image_pin.keep(known, image, pinned) == known else ""


def _inspect(run: Run) -> dict[str, Any]:
    code, out, _error = run(["docker", "container", "inspect", CONTAINER])
    if code:
        return {}
    answer: list[dict[str, Any]] = json.loads(out)
    return answer[0] if answer else {}
