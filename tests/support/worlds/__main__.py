# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring up many made-up worlds, and say which rules broke: `python -m ...worlds [KIND] FIRST COUNT [--trace]`."""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.machine import TRANSITIONS
from ansible_collections.gpuserve.fleet.tests.support.worlds.kinds import KINDS
from ansible_collections.gpuserve.fleet.tests.support.worlds.run import run


def main() -> int:
    """Return 1 where a rule broke, or a calm world failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=[*KINDS, "all"], default="all")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000, help="of each kind")
    parser.add_argument("--trace", action="store_true")
    asked = parser.parse_args()
    broken, walked = 0, set()
    for kind in KINDS if asked.kind == "all" else [asked.kind]:
        tally: Counter[str] = Counter()
        examples: dict[str, str] = {}
        failed: list[int] = []
        gap = (0.0, 0)
        for seed in range(asked.first, asked.first + asked.count):
            report = run(KINDS[kind](seed), asked.trace)
            walked |= set(report.changes)
            failed += [seed] if report.failed else []
            gap = max(gap, (report.gap_over_start, seed))
            for rule, text in report.broken:
                tally[rule] += 1
                examples.setdefault(rule, f"seed {seed}, {text}")
            if asked.trace:
                print("\n".join(report.trace))
        print(
            f"{kind}: {asked.count} worlds, {len(failed)} failed, longest gap over own start {gap[0]:.2f} (seed {gap[1]})"
        )
        if kind == "calm" and failed:
            print(f"  failed: {', '.join(map(str, failed[:20]))}")
        for rule, many in tally.most_common():
            print(f"  {rule}: {many}; {examples[rule]}")
        broken += sum(tally.values()) + (len(failed) if kind == "calm" else 0)
    if asked.kind == "all":
        never = [f"{old.value} -> {new.value}" for old, new in TRANSITIONS if (old, new) not in walked]
        print(f"transitions never taken: {', '.join(never) or 'none'}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
