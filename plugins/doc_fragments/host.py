# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a module reads a host, and what a role's probe of a host is refused by."""

from __future__ import annotations


class ModuleDocFragment:
    """The option `root`, (`.docker`) `docker_socket`, and (`.probe`) the options of `PROBE` in _io/host/probe."""

    DOCUMENTATION = r"""
options:
  root:
    description:
      - Where the host's files begin; a tree of fixtures in tests.
    type: path
    default: /
"""

    DOCKER = r"""
options:
  docker_socket:
    description:
      - The socket that the Docker daemon listens on.
    type: path
    default: /var/run/docker.sock
"""

    PROBE = r"""
options:
  addresses:
    description:
      - What the role's variables hold that must not hold an account or a private key, by their names. The controller refuses them before
        the host is asked, and sends none.
    type: dict
    default: {}
    version_added: 0.2.0
  refuse:
    description:
      - Whether to fail with the first sentence of C(decision.refusals), and to show what there is in C(decision.notes).
    type: bool
    default: false
    version_added: 0.2.0
  apt_files:
    description:
      - Files that a repository of ours comes with, such as its key and its pin. Where any is named, they are read with apt's entries.
    type: list
    elements: path
    default: []
    version_added: 0.2.0
"""
