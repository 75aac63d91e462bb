# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write docs/gpu-proof.md from the lines that `make gpu-proof` ended with: a file each in tests/data/proofs, the newest first by name."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.proof import page

CHECKOUT = Path(__file__).resolve().parents[3]
LINES, PAGE = CHECKOUT / "tests" / "data" / "proofs", CHECKOUT / "docs" / "gpu-proof.md"


def text() -> str:
    """Return the page of all lines that are kept, the newest first."""
    lines = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(LINES.glob("*.json"))]
    return page.page(sorted(lines, key=lambda line: str(line["date"]), reverse=True))


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.relative_to(CHECKOUT)}\n")
