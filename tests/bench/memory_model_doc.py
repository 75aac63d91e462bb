# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put the table of predicted beside measured into docs/memory-model.md, between its two marks."""

from __future__ import annotations

import re
from pathlib import Path

from tests.bench.measured import NEW, REFERENCE, rows, summary
from tests.bench.memory_fit import leave_one_model_out
from tests.bench.plan import markdown

PAGE = Path(__file__).parents[2] / "docs" / "memory-model.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def renewed(text: str) -> str:
    """The page with its table made anew."""
    data = rows()
    every, left_out = summary([row.error_mib() for row in data]), summary(leave_one_model_out(data))
    reference = summary([row.error_mib() for row in data if row.source == REFERENCE])
    new = summary([row.error_mib() for row in rows(NEW)])
    table = (
        f"The {reference['rows']} reference starts: median error {reference['p50_mib']:.0f} MiB, p95 {reference['p95_mib']:.0f} MiB, worst "
        f"under-prediction {reference['worst_under_mib']:.0f} MiB. All {every['rows']}: median {every['p50_mib']:.0f} MiB, p95 "
        f"{every['p95_mib']:.0f} MiB. With each dense model left out of the fit in turn: p95 {left_out['p95_mib']:.0f} MiB over "
        f"{left_out['rows']} starts. The last {new['rows']} are of architectures that no fitted figure comes from: p95 "
        f"{new['p95_mib']:.0f} MiB, worst under-prediction {new['worst_under_mib']:.0f} MiB; what is said above of Mamba, MXFP4, MLPs "
        f"without a gate, spilled registers, drafts, tables of positions that are stretched, Gemma 3n's inputs and AWQ without growing "
        f"segments was read off them and off variants of them; starts with AWQ had segments that grow. Where "
        f"a model that sees was "
        f"sent no picture, what its encoder takes while it runs is left out.\n\n{markdown([*data, *rows(NEW)])}"
    )
    return re.sub(f"{BEGIN}.*{END}", f"{BEGIN}\n{table}\n{END}", text, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text()))
