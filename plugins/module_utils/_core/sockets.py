# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Unix sockets at which engines and gateway meet: where they lie, what an endpoint on one is called.

Only root gets through ROOT, so no other account of the host can answer in an engine's place or reach one. Behind it every engine has a
folder of its own, which is all that its container sees of it; the gateway's container sees FOLDER, and can write nothing there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

ROOT = "/run/gpuserve/engines"
FOLDER = f"{ROOT}/sockets"
# The kernel takes paths of so many bytes (struct sockaddr_un, less its last zero).
LONGEST = 107
SCHEME = "unix:"
# An engine may run as any user of its container, and makes its socket itself: behind ROOT nobody else gets there.
INSTANCE_MODE = 0o777
_PATH = re.compile(r"(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+")


def folder(instance: str) -> str:
    """The folder of one engine, its surge instance being another."""
    return f"{FOLDER}/{instance}"


def path(instance: str) -> str:
    """The socket of one engine."""
    return f"{folder(instance)}/http"


def endpoint(instance: str) -> str:
    """What a gateway is told of it."""
    return SCHEME + path(instance)


def is_path(text: str) -> bool:
    """Whether a socket can be there: an absolute path without `..`, not too long for the kernel."""
    return bool(_PATH.fullmatch(text)) and len(text) <= LONGEST


def drain_name(endpoint: str) -> str:
    """The name of the file that keeps new requests away from an endpoint: the endpoint's own, which has no slash there."""
    return endpoint.replace("/", "_")


def at_boot(instances: Iterable[str] = ()) -> str:
    """What systemd-tmpfiles makes of it before Docker starts: /run is empty after a boot."""
    lines = ["d /run/gpuserve 0755 root root -", f"d {ROOT} 0700 root root -", f"d {FOLDER} 0755 root root -"]
    lines += [f"d {folder(instance)} {INSTANCE_MODE:04o} root root -" for instance in sorted(instances)]
    return "".join(f"{line}\n" for line in lines)
