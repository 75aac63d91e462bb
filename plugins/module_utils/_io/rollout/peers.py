# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the bring-ups on the hosts of a group tell each other: written among the progress, carried by the controller, read from a file.

No host asks another one anything: there is no port for it, and no key.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout import group
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.observation import News, Observation
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.progress import NEWS
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import State

# What the hosts of a group tell is a few hundred bytes each.
LARGEST = 1 << 20


class Peers:
    """The other hosts of this host's groups."""

    def __init__(self, path: str | None, tell: Callable[[Sequence[str]], None]) -> None:
        self._path, self._tell = path, tell
        self._told: News | None = None
        self._brought: tuple[int, float] = (0, time.monotonic())

    def heard(self, observation: Observation) -> Observation:
        """Return a probe with what the others told last, and how long ago somebody brought it."""
        if self._path is None:
            return observation
        news: Mapping[str, News] = {}
        try:
            handle = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with open(handle, "rb") as file:
                brought = os.fstat(handle).st_mtime_ns
                found = json.loads(file.read(LARGEST))
            # By whether it changes: the wall clock may be set meanwhile.
            if brought != self._brought[0]:
                self._brought = (brought, time.monotonic())
            news = {str(host): one for host, data in found.items() if (one := group.read(data)) is not None}
        except (OSError, ValueError, AttributeError, RecursionError):
            pass
        return replace(observation, news=news, news_age_s=time.monotonic() - self._brought[1])

    def tell(self, state: State, observation: Observation, is_done: bool) -> None:
        """Tell the others how far this host is, where that is something new."""
        told = group.news(state, observation, is_done)
        if self._told is not None:
            told = group.carried(self._told, told)
        if told == self._told or not told.parts:
            return
        self._told = told
        self._tell([f"{NEWS}{json.dumps(group.data(told), sort_keys=True)}"])
