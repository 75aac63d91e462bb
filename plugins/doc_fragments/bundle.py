# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a bundle is and how it is believed, for every module that takes something out of one."""

from __future__ import annotations


class ModuleDocFragment:
    """The options of C(ARGUMENTS) in _io/host/bundle."""

    DOCUMENTATION = r"""
options:
  url:
    description:
      - Where the bundle is; a folder on the host as C(file:///srv/bundle).
    type: str
    required: true
  sums_sha256:
    description:
      - The checksum of C(SHA256SUMS), carried by another way than the bundle. Empty believes the file.
    type: str
    default: ""
  ca_file:
    description:
      - A bundle of authorities to trust for O(url).
    type: path
  timeout_s:
    description:
      - How long to wait for each connection, in seconds.
    type: int
    default: 60
"""
