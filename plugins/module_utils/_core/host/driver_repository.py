# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""NVIDIA's package repositories: one for each distribution, its key, and where its branches begin."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.distribution import Distribution

ARCHITECTURES = {"x86_64": "x86_64", "aarch64": "sbsa"}
SUPPORTED = "Ubuntu 22.04, 24.04 and 26.04, Debian 12 and 13"


@dataclass(frozen=True)
class Repository:
    """A repository, and the branch to name before its index has been read: the default among those known to be in it."""

    folder: str
    branch: int
    key: str
    fingerprint: str
    first_branch: int = 0


# The newer repositories have keys of their own; docs/signing-keys.md says how each fingerprint is known.
_OLD_KEY = ("3bf863cc.pub", "EB693B3035CD5710E231E123A4B469963BF863CC")
_REPOSITORIES = {
    ("ubuntu", "22.04"): Repository("ubuntu2204", 580, *_OLD_KEY),
    ("ubuntu", "24.04"): Repository("ubuntu2404", 580, *_OLD_KEY),
    ("ubuntu", "26.04"): Repository(
        "ubuntu2604", 595, "60DF8A40.pub", "14BAFBC7562AD710CA04E69905FBB6DA60DF8A40", first_branch=595
    ),
    ("debian", "12"): Repository("debian12", 580, *_OLD_KEY),
    # github.com/NVIDIA/cuda-repo-management/issues/38: no 580 there.
    ("debian", "13"): Repository(
        "debian13", 595, "8793F200.pub", "02182E60104FCDC26EAE1B8597A5D4CB8793F200", first_branch=590
    ),
}

# It brings an entry for the same repository with another key's path: two of them stop apt altogether.
KEYRING_PACKAGE = "cuda-keyring"


def repository_of(distribution: Distribution) -> Repository | None:
    """Return NVIDIA's repository for a distribution, None where we install no driver."""
    return _REPOSITORIES.get((distribution.id, distribution.version))
