# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The memory of a stack's cards, or of a host without one: read all the while, and told apart into what is ours and what is not."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import CPU_UUID
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.settling import STILL_BYTES, History, Sample
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.nvml import Nvml, NvmlError
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.proc import meminfo, proportional_bytes

SAMPLE_S = 0.25
# A host's own memory moves with everything that runs there.
HOST_STILL_BYTES = 8 * STILL_BYTES


class Gpus:
    """Samples in the background from its first use on, so that nobody waits for what was still already."""

    def __init__(self, uuids: Sequence[str], device: str, others: Sequence[str] = ()) -> None:
        """`others` are cards that may be needed later, and may be gone by now."""
        self._uuids, self._others, self._cpu = tuple(uuids), tuple(others), device == "cpu"
        self._history = History(HOST_STILL_BYTES if self._cpu else STILL_BYTES)
        self._last = Sample(0.0, {}, None)
        self._ours: set[int] = set()
        self._nvml: Nvml | None = None
        self._lock = threading.Lock()
        self.error = ""

    def begin(self, before: Mapping[str, Any]) -> None:
        """Sample from now on, until the process ends; `before` is the last sample of the one that probed first, or nothing."""
        # One from the future is from before a boot.
        if before and (sample := Sample.of_data(before)).at <= time.monotonic():
            self._history.add(sample)
        threading.Thread(target=self._sample_on, daemon=True).start()

    def last(self) -> dict[str, Any]:
        """The last sample as plain data."""
        return self._last.as_data()

    def _sample_on(self) -> None:
        while True:
            self.sample()
            time.sleep(SAMPLE_S)

    def sample(self) -> None:
        """One more probe; what can't be read leaves its reason in `error`."""
        with self._lock:
            try:
                self._last = self._read()
                self.error = ""
            except NvmlError as error:
                self._close()
                self._history.clear()
                self._last, self.error = Sample(time.monotonic(), {}, None), str(error)
                return
            self._history.add(self._last)

    def _read(self) -> Sample:
        if self._cpu:
            return Sample(time.monotonic(), {CPU_UUID: meminfo()["MemAvailable"]}, None)
        if self._nvml is None:
            self._nvml = Nvml().__enter__()
        used: dict[str, Mapping[int, int]] | None = {}
        free = {}
        for uuid in (*self._uuids, *self._others):
            try:
                by_process = self._nvml.process_bytes(uuid)
                free[uuid] = self._nvml.free_bytes(uuid)
            except NvmlError:
                if uuid in self._uuids:
                    raise
                continue
            if used is not None and by_process is not None:
                used[uuid] = by_process
            else:
                used = None
        return Sample(time.monotonic(), free, used)

    def _close(self) -> None:
        if self._nvml is not None:
            self._nvml.__exit__()
            self._nvml = None

    # What it says

    def free_bytes(self) -> dict[str, int]:
        """Free bytes by card, as last read."""
        return dict(self._last.free_bytes)

    def ours(self, pids: Iterable[int]) -> None:
        """These processes are ours, for good: what they gave back when they ended was ours too."""
        self._ours.update(pids)

    def still_s(self) -> dict[str, float]:
        now = time.monotonic()
        with self._lock:
            return {uuid: self._history.still_s(uuid, now) for uuid in self._last.free_bytes}

    def foreign_still_s(self) -> dict[str, float]:
        now = time.monotonic()
        with self._lock:
            found = {uuid: self._history.foreign_still_s(uuid, now, self._ours) for uuid in self._last.free_bytes}
        return {uuid: seconds for uuid, seconds in found.items() if seconds is not None}

    def tells_apart(self) -> bool:
        """Whether it can be read who holds what."""
        return self._cpu or self._last.used_bytes is not None

    def used_by(self, pids: Sequence[int]) -> dict[str, int]:
        """What these processes hold, by card; on a host without one their share of its memory."""
        if self._cpu:
            return {CPU_UUID: proportional_bytes(pids)}
        used = self._last.used_bytes or {}
        found = {uuid: sum(size for pid, size in by.items() if pid in pids) for uuid, by in used.items()}
        return {uuid: size for uuid, size in found.items() if size}

    def foreign_processes(self) -> dict[int, tuple[str, int]]:
        """Processes on these cards that are not ours: (card, bytes) by pid, of the card on which it holds most."""
        found: dict[int, tuple[str, int]] = {}
        for uuid, by in (self._last.used_bytes or {}).items():
            for pid, size in by.items():
                if pid not in self._ours and size > found.get(pid, ("", 0))[1]:
                    found[pid] = (uuid, size)
        return found
