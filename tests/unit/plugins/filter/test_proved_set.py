# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a gateway is told of engines that an earlier run started."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.filter.proved_set import proved_set

NOTHING: dict[str, list[str]] = {"endpoints": [], "generating": []}


@pytest.mark.parametrize(
    "record", [{}, None, "text", {"services": []}, {"services": [{"name": "a"}], "plan": {"gpus": []}}]
)
def test_what_is_no_record_is_no_set(record: Any) -> None:
    assert proved_set(record) == NOTHING
