# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules whose arguments others may not read."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule


class UnloggedModule(AnsibleModule):  # type: ignore[misc]  # ansible-core ships no types
    """A module that takes secrets among other values, such as a model's environment or a proxy with a password.

    Ansible writes the arguments of every module into the journal of the host that it runs on, which more than root may read. An argument
    with no_log is left out of that, and all that stands in it is blotted out of every result besides: names, paths and words too.
    """

    def _log_invocation(self) -> None:
        self.log("Invoked; what it was given is not logged")
