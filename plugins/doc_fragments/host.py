# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a module reads a host: below a root, and from Docker's socket."""

from __future__ import annotations


class ModuleDocFragment:
    """The option `root`, and (`.docker`) `docker_socket`."""

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
