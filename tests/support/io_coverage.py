# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much of the edges (`_io`) their unit tests reach: a line a package from coverage's JSON, and whether each is enough."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

ROOM = "plugins/module_utils/_io/"
BOUND = 70.0


def by_package(report: dict[str, dict[str, dict[str, dict[str, int]]]]) -> dict[str, tuple[int, int]]:
    """Return for each package of the edges how many of its lines were run, and how many it has."""
    run: Counter[str] = Counter()
    every: Counter[str] = Counter()
    for path, found in report["files"].items():
        _before, room, rest = path.partition(ROOM)
        if room:
            package = rest.split("/")[0].removesuffix(".py")
            run[package] += found["summary"]["covered_lines"]
            every[package] += found["summary"]["num_statements"]
    return {package: (run[package], every[package]) for package in sorted(every) if every[package]}


def main(path: str) -> int:
    found = by_package(json.loads(Path(path).read_text()))
    percent = {package: 100 * run / every for package, (run, every) in found.items()}
    for package, share in percent.items():
        print(f"_io/{package:10} {share:5.1f} %  {found[package][0]} of {found[package][1]} lines")
    run, every = (sum(pair[place] for pair in found.values()) for place in (0, 1))
    print(
        json.dumps(
            {
                "lines_percent": {package: round(share, 1) for package, share in percent.items()},
                "all": round(100 * run / every, 1),
            }
        )
    )
    low = [package for package, share in percent.items() if share < BOUND]
    if low:
        print(
            f"Less than {BOUND:.0f} % of the lines of {', '.join(low)} are run by unit tests: test them by fakes behind their protocols."
        )
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
