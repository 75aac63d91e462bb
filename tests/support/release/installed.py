# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as somebody has it who never saw a checkout: its tarball installed into a folder that was empty before."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from ansible_collections.gpuserve.fleet.tests.support.release import tarball
from ansible_collections.gpuserve.fleet.tests.support.release.tarball import PROGRAMS


def install(checkout: Path, folder: Path) -> None:
    """Build the tarball, and install it below a folder."""
    built = str(tarball.build(checkout, folder, 0))
    done = run(folder, "ansible-galaxy", "collection", "install", "--no-deps", built, "-p", str(folder / "collections"))
    if done.returncode != 0:
        raise tarball.ReleaseError(done.stdout + done.stderr)


def run(folder: Path, *argv: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run one of Ansible's programs in that folder, with no settings but those given."""
    # With PYTHONPATH ansible-galaxy finds the checkout, and installs nothing.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHONPATH"))}
    environment = {
        **kept,
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_COLLECTIONS_PATH": str(folder / "collections"),
        "HF_HUB_OFFLINE": "1",
        **settings,
    }
    command = [str(PROGRAMS / argv[0]), *argv[1:]]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
