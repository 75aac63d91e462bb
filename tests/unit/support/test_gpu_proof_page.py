# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/gpu-proof.md says what the lines say that are kept."""

from __future__ import annotations

import json

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.proof.verdict import AIMS
from ansible_collections.gpuserve.fleet.tests.support.gpu import proof_page


def test_the_page_is_current() -> None:
    assert proof_page.PAGE.read_text(encoding="utf-8") == proof_page.text(), "run `make docs-gpu-proof`"


@pytest.mark.parametrize("path", sorted(proof_page.LINES.glob("*.json")), ids=lambda path: path.stem)
def test_a_kept_line_names_what_it_missed(path: object) -> None:
    line = json.loads(path.read_text(encoding="utf-8"))  # type: ignore[attr-defined]
    assert line["missed"] == [aim.text for aim in AIMS if aim.is_missed(line[aim.key])]
    assert line["failed"] == {}
