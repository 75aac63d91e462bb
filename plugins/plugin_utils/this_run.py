# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder that all hosts of one run of Ansible share, so that what one of them asked for is not asked for again."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ansible import constants as settings

# Of what models are: what was read of each, and whether the hub answers.
MODEL_INFO = "gpuserve-model-info"


@contextmanager
def alone(name: str) -> Iterator[Path]:
    """Hold the lock of a folder of this run, and return it."""
    shared = Path(settings.DEFAULT_LOCAL_TMP) / name  # type: ignore[attr-defined]
    shared.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(shared / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield shared
