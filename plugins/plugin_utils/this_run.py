# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""This run of Ansible: a folder that all its hosts share, so that what one asked for is not asked for again, and who it is for others."""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible import constants as settings

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet.claim import Claim

# Whom AWX and its predecessor say that a job is for.
_PEOPLE = ("awx_user_name", "tower_user_name")
# Of what models are: what was read of each, and whether the hub answers.
MODEL_INFO = "gpuserve-model-info"
# Of hosts that another run has: a file each, with who it is.
HELD_HOSTS = "gpuserve-held-hosts"
# Of hosts that a version of the collection has changed: a file each, with which one.
VERSIONS = "gpuserve-versions"
# Of hosts that serve a model together: a file each, with what it tells the others.
GROUPS = "gpuserve-groups"
# Of gateways that were checked: a file each, with the digest of its first key.
FIRST_KEYS = "gpuserve-first-keys"


def folder(name: str) -> Path:
    """Return the path of a folder of this run."""
    return Path(settings.DEFAULT_LOCAL_TMP) / name  # type: ignore[attr-defined]


@contextmanager
def alone(name: str) -> Iterator[Path]:
    """Hold the lock of a folder of this run, and return it."""
    shared = folder(name)
    shared.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(shared / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield shared


def claim(variables: Mapping[str, Any], now: str) -> Claim:
    """Return who runs: the same for all hosts of a run, and another for each run."""
    own = str(settings.DEFAULT_LOCAL_TMP)  # type: ignore[attr-defined]
    controller = socket.gethostname()
    name = hashlib.sha256(f"{controller}\0{own}".encode()).hexdigest()[:16]
    # Tasks run in children of the one process that is the run.
    return Claim(name, _who(variables), controller, os.getppid(), now)


def is_gone(other: Claim) -> bool:
    """Tell whether a run of this controller is no more; of one of another controller nothing is known."""
    if other.controller != socket.gethostname() or not other.pid:
        return False
    try:
        os.kill(other.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        # It is there, and somebody else's.
        return False
    return False


def _who(variables: Mapping[str, Any]) -> str:
    named = next((str(variables[name]) for name in _PEOPLE if variables.get(name)), "")
    try:
        return named or getpass.getuser()
    except (KeyError, OSError):
        # An account without a name, as in a container.
        return f"account {os.getuid()}"
