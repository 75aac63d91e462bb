# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What processes of tasks cost: Ansible forks one from the controller's for each task of each host, and it ends with its task."""

from __future__ import annotations

import functools
import gc
import os

from ansible.plugins.loader import test_loader

from ansible_collections.gpuserve.fleet.plugins.plugin_utils import compiled_templates, payloads, this_run

# Of templates that were compiled: a file each.
TEMPLATES = "gpuserve-templates"


@functools.cache
def prepare() -> None:
    """Load in this process what each of its forks would load, and keep them from copying the memory that they share with it.

    A collection of garbage writes into every object that it looks at, and the kernel copies each page that is written to. What was there
    before the fork is frozen in the fork alone: here garbage is collected as ever.
    """
    test_loader.get("ansible.builtin.match")
    compiled_templates.share(this_run.folder(TEMPLATES))
    payloads.remember()
    os.register_at_fork(after_in_child=gc.freeze)
