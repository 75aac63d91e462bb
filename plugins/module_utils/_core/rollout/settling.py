# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For how long a card's memory has not moved, and for how long what others hold there has not: from samples taken all the while.

A start that follows another would wait for nothing if all that moved was the engine before, and NVML says that it was: so the two are
told apart. What one of our processes took and gave back is added to what is free before samples are compared.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import MIB

# What drivers and page tables take and give back without anybody starting or ending.
STILL_BYTES = 64 * MIB
# Samples further apart than this say nothing of the time between them.
LONGEST_GAP_S = 1.5
KEPT_S = 30.0


@dataclass(frozen=True)
class Sample:
    """One probe of all cards: free bytes by card, used bytes by card and process; None where no process can be told from another."""

    at: float
    free_bytes: Mapping[str, int]
    used_bytes: Mapping[str, Mapping[int, int]] | None

    def as_data(self) -> dict[str, Any]:
        """Plain data, for the process that goes on where this one ends."""
        return {"at": self.at, "free_bytes": dict(self.free_bytes), "used_bytes": self.used_bytes}

    @classmethod
    def of_data(cls, data: Mapping[str, Any]) -> Sample:
        """Back from plain data, in which JSON has made texts of the processes."""
        used = data["used_bytes"]
        by_process = used and {uuid: {int(pid): size for pid, size in by.items()} for uuid, by in used.items()}
        return cls(float(data["at"]), dict(data["free_bytes"]), by_process)


class History:
    """The samples of the last while."""

    def __init__(self, tolerance_bytes: int = STILL_BYTES) -> None:
        self._samples: deque[Sample] = deque()
        self._tolerance_bytes = tolerance_bytes

    def add(self, sample: Sample) -> None:
        self._samples.append(sample)
        while self._samples[0].at < sample.at - KEPT_S:
            self._samples.popleft()

    def clear(self) -> None:
        """Memory could not be read: what was known of it counts no more."""
        self._samples.clear()

    def still_s(self, uuid: str, now: float) -> float:
        """Seconds for which the free memory of a card has stayed where it is."""
        return self._run(uuid, now, None) or 0.0

    def foreign_still_s(self, uuid: str, now: float, ours: Collection[int]) -> float | None:
        """The same of what processes other than ours hold; None where that can't be told."""
        return self._run(uuid, now, ours)

    def _run(self, uuid: str, now: float, ours: Collection[int] | None) -> float | None:
        last, since, later = None, now, now
        for sample in reversed(self._samples):
            value = sample.free_bytes.get(uuid)
            if value is None or later - sample.at > LONGEST_GAP_S:
                break
            if ours is not None:
                if sample.used_bytes is None:
                    return None if last is None else now - since
                value += sum(size for pid, size in sample.used_bytes.get(uuid, {}).items() if pid in ours)
            if last is None:
                last = value
            if abs(value - last) > self._tolerance_bytes:
                break
            since = later = sample.at
        return now - since
