# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/gpu-proof.md says what the lines say that are kept."""

from __future__ import annotations

import json

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.proof import page
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.proof.verdict import AIMS
from ansible_collections.gpuserve.fleet.tests.support.gpu import proof_page


def test_the_page_is_current() -> None:
    assert proof_page.PAGE.read_text(encoding="utf-8") == proof_page.text(), "run `make docs-gpu-proof`"


@pytest.mark.parametrize("path", sorted(proof_page.LINES.glob("*.json")), ids=lambda path: path.stem)
def test_a_kept_line_names_what_it_missed(path: object) -> None:
    line = json.loads(path.read_text(encoding="utf-8"))  # type: ignore[attr-defined]
    assert line["missed"] == [aim.text for aim in AIMS if aim.is_missed(line[aim.key])]
    assert line["failed"] == {}


def test_the_screen_says_what_was_met_missed_and_not_run() -> None:
    line = json.loads((proof_page.LINES / "h200-2026-11-27.json").read_text(encoding="utf-8"))
    line |= {
        "failed": {"foreign": "it did not fail,\nand should have"},
        "not_run": ["foreign"],
        "parallel_over_slowest": 1.163,
    }
    assert page.screen("gpu01", {**line, "requests_lost": None}) == [
        "gpu01   12 of 13 steps of the proof are done   NVIDIA H200",
        "  met     second_run_changed <= 0: 0",
        "  met     plan_error_worst_mib <= 64: 17",
        "  missed  parallel_over_slowest <= 1.1: 1.163",
        "  met     tokens_over_eager_geomean >= 3.5: 6.07",
        "  not run requests_lost <= 0",
        "  met     faults_unnamed <= 0: 0",
        "  met     left_behind <= 0: 0",
        "  failed  foreign: it did not fail,\\x0aand should have",
        "  not run foreign: run prove.yml again, it goes on there",
    ]
