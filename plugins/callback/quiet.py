# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints what playbooks show and nothing else, so that a plan as JSON goes through a pipe; failures go to stderr."""

from __future__ import annotations

DOCUMENTATION = r"""
name: quiet
type: stdout
short_description: What a playbook shows and nothing else, for pipes
version_added: 0.2.0
author: gpuserve.fleet contributors (@gpuserve)
description:
  - Prints no play, no task and no recap. What M(gpuserve.fleet.show) shows goes to stdout, failures and unreachable hosts go to stderr.
  - "C(ANSIBLE_STDOUT_CALLBACK=gpuserve.fleet.quiet ansible-playbook gpuserve.fleet.plan -e plan_json=- | jq .)"
"""

from typing import Any

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core ships no types
    """Say nothing but what went wrong."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "gpuserve.fleet.quiet"

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Say why a host failed, unless that was expected."""
        if not ignore_errors:
            self._complain(result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Say that a host can't be reached."""
        self._complain(result)

    def _complain(self, result: Any) -> None:
        self._display.display(f"{result._host.get_name()}: {result._result.get('msg', 'it failed')}", stderr=True)
