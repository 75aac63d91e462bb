# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fingerprints that the code trusts are those whose sources docs/signing-keys.md names, and no others."""

from __future__ import annotations

import re
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
CODE = (
    "plugins/module_utils/_core/host/driver_repository.py",
    "roles/docker_engine/defaults/main.yml",
    "roles/nvidia_container_toolkit/defaults/main.yml",
    "playbooks/airgap_bundle.yml",
)


def fingerprints(*names: str) -> set[str]:
    """Every fingerprint in these files."""
    return {found for name in names for found in re.findall(r"\b[0-9A-F]{40}\b", (CHECKOUT / name).read_text())}


def test_every_trusted_key_has_a_source() -> None:
    trusted = fingerprints(*CODE)
    assert len(trusted) == 6
    assert trusted == fingerprints("docs/signing-keys.md")


def test_the_bundle_trusts_what_the_roles_trust() -> None:
    assert fingerprints(CODE[-1]) <= fingerprints(*CODE[:-1])
