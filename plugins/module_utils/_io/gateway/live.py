# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a gateway's host has live: what its Lua decides by, code and other files as sums, its certificate as openssl reads it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import certificate
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.gateway.own_certificate import DAY_S
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.gateway.sets import Sets

Run = Callable[[list[str]], tuple[int, str, str]]


def read_live(folder: Path, run: Run) -> dict[str, Any]:
    """Return what tells one configuration from another, digests of keys included."""
    sets = Sets(folder / "conf", 0)
    files = sets.live_files()
    try:
        data = json.loads(files.get("data.json", b"{}"))
    except ValueError:
        # Somebody wrote into it: all that it would say differs.
        data = {}
    compose = folder / "compose.yml"
    container = {compose.name: compose.read_bytes()} if compose.is_file() else {}
    # Of what is left out here the other figures tell.
    told = ("data.json", "tls.crt", "tls.key")
    other = {name: text for name, text in files.items() if name not in told and not name.endswith(".lua")}
    return {
        "there": bool(files),
        "data": data if isinstance(data, dict) else {},
        "code": {name: hashlib.sha256(text).hexdigest() for name, text in files.items() if name.endswith(".lua")},
        "files": {name: hashlib.sha256(text).hexdigest() for name, text in {**other, **container}.items()},
        "certificate": _certificate(sets.live / "tls.crt", run) if files.get("tls.crt") else {},
    }


def _certificate(path: Path, run: Run) -> dict[str, Any]:
    if shutil.which("openssl") is None:
        return {}
    asked = ["openssl", "x509", "-in", str(path), "-noout"]
    _code, text, _error = run([*asked, "-ext", "subjectAltName", "-enddate"])
    ends = next((line.partition("=")[2] for line in text.splitlines() if line.startswith("notAfter=")), "")
    code, _out, _error = run([*asked, "-checkend", str(certificate.RENEWED_BEFORE_DAYS * DAY_S)])
    return {"names": sorted(certificate.named_in(text)), "ends": ends, "ends_soon": code != 0}
