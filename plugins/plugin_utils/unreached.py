# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that is not reached: why, in the words of whoever tried, and as a failure where a play can go on after one.

Ansible takes a host that is unreachable out of the run, without `rescue` or `always`, and ends a run in which that was all of a batch:
nobody would be left to say how it ended. A failure is rescued. So a play that has a `rescue` for it sets `_unreached_is_failure`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action.normal import ActionModule as Normal

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.progress import clock

Run = Callable[..., dict[str, Any]]
Answer = TypeVar("Answer")
IS_FAILURE = "_unreached_is_failure"
# How often it is said that a host is still away.
SAID_AGAIN_S = 60.0
# What Ansible puts before what ssh said, with and without pipelining.
_BEFORE = ("Failed to connect to the host via ssh:", "Make sure this host can be reached over ssh:")


class GivenUp(AnsibleConnectionFailure):  # type: ignore[misc]  # ansible-core ships no types
    """A host that was asked again and again."""

    lost_s = 0.0


class Patience:
    """A host that may be away for a while, such as one that has lost its network: it is asked again, and that is said once a minute."""

    def __init__(self, limit_s: float, every_s: float, say: Callable[[str], None]) -> None:
        self._limit_s, self._every_s, self._say = limit_s, every_s, say
        self.losses = 0

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """Return the answer, once there is one."""
        began = said_at = None
        while True:
            try:
                answer = question()
            except AnsibleConnectionFailure as error:
                now = time.monotonic()
                if began is None:
                    began = said_at = now
                    self.losses += 1
                    limit = clock(self._limit_s)
                    self._say(
                        f"connection lost ({reason(error)}); what was begun there goes on, and it is asked again for {limit} minutes"
                    )
                elif now - began > self._limit_s:
                    given_up = GivenUp(str(error))
                    given_up.lost_s = now - began
                    raise given_up from error
                elif now - (said_at or 0) >= SAID_AGAIN_S:
                    said_at = now
                    self._say(
                        f"not reached for {clock(now - began)} minutes, and asked again until {clock(self._limit_s)} ({reason(error)})"
                    )
                time.sleep(self._every_s)
            else:
                if began is not None:
                    self._say(f"reached again after {clock(time.monotonic() - began)} minutes")
                return answer


def reason(error: Exception) -> str:
    """Return what was said last: ssh warns of other things before it, and of a connection that it had kept says nothing."""
    said = str(error).strip()
    for words in _BEFORE:
        if said.endswith(words):
            return "ssh gave no reason"
        said = said.rpartition(words)[2].strip()
    lines = said.splitlines() or [type(error).__name__]
    return lines[-1].strip().rstrip(".")


def is_failure(run: Run) -> Run:
    """Have an action whose host is not reached fail, where the play says so."""

    @wraps(run)
    def told(action: Any, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            result = run(action, tmp, task_vars)
            # Ansible does it once more after this, where a host that is lost by then would be unreachable after all.
            action.cleanup()
        except AnsibleConnectionFailure as error:
            if not (task_vars or {}).get(IS_FAILURE):
                raise
            action._connection._shell.tmpdir = None
            for_long = f" for {clock(error.lost_s)} minutes" if isinstance(error, GivenUp) else ""
            msg = f"it was not reached any more{for_long} ({reason(error)}). What it serves now is not known."
            # For a task that takes a failure as an answer: this is none.
            return {"failed": True, "changed": False, "unreached": True, "msg": msg}
        return result

    told.unreached_is_failure = True  # type: ignore[attr-defined]
    return told


class OnHost(Normal):  # type: ignore[misc]  # ansible-core ships no types
    """Run the module of the same name on the host, as Ansible would, but for a host that is not reached."""

    @is_failure
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the module returns."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        return result
