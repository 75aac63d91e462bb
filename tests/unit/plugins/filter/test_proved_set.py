# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a gateway is told of engines that an earlier run started."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.filter.proved_set import proved_set
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.record import sum_of

NOTHING: dict[str, list[str]] = {"endpoints": [], "generating": []}


@pytest.mark.parametrize(
    "record", [{}, None, "text", {"services": []}, {"services": [{"name": "a"}], "plan": {"gpus": []}}]
)
def test_what_is_no_record_is_no_set(record: Any) -> None:
    assert proved_set(record) == NOTHING


def record() -> dict[str, Any]:
    model = {"name": "a", "gpu_uuids": ["GPU-0"], "total_bytes": 5, "kv_cache_bytes": 1, "exact_kv": True}
    service = {"name": "a", "container": "vllm-a", "image": "i", "port": 8001, "digest": "d"}
    found: dict[str, Any] = {
        "services": [service],
        "plan": {"gpus": [{"models": [model]}]},
        "endpoints": [{"name": "a"}],
    }
    return {**found, "sum": sum_of(found)}


def test_a_record_that_somebody_changed_is_no_set() -> None:
    whole = {"endpoints": [{"name": "a"}], "generating": ["a"]}
    assert proved_set(record()) == whole
    assert proved_set({**record(), "endpoints": [{"name": "b"}]}) == NOTHING
    assert proved_set({**record(), "sum": None}) == NOTHING
    older = {key: value for key, value in record().items() if key != "sum"}
    assert proved_set(older) == whole


@pytest.mark.parametrize("port", ["x", None, [], {}, "8001x"])
def test_an_older_record_of_another_shape_is_no_set(port: Any) -> None:
    older = {key: value for key, value in record().items() if key != "sum"}
    assert proved_set({**older, "services": [{**older["services"][0], "port": port}]}) == NOTHING
    assert proved_set({**older, "endpoints": {"a": 1}}) == NOTHING
