# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a gateway is told before engines move between ports and sockets."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.filter.gateway_ahead import gateway_ahead
from ansible_collections.gpuserve.fleet.plugins.module_utils._core import sockets
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack import compose

HERE, SURGE = sockets.endpoint("qwen"), sockets.endpoint("qwen-surge")
# As a version wrote it that knew no sockets.
OLD = {
    "name": "qwen",
    "aliases": [],
    "endpoints": ["127.0.0.1:8001"],
    "standby": ["127.0.0.1:9001"],
    "max_num_seqs": 24,
}
ON_SOCKET = {"name": "qwen", **compose.meeting_points("qwen", 8001, "socket", 0, moves=True)}


def test_engines_that_come_to_sockets_are_known_there_before_they_come() -> None:
    (told,) = gateway_ahead([OLD], "socket", 0)
    assert told == {**OLD, "standby": ["127.0.0.1:9001", HERE, SURGE]}


def test_engines_that_come_to_ports_find_them_free() -> None:
    (told,) = gateway_ahead([ON_SOCKET], "tcp", 1000)
    assert (told["endpoints"], told["standby"]) == ([HERE], [SURGE, "127.0.0.1:8001", "127.0.0.1:9001"])
    assert "address" not in told and told["listener_uid"] == 0


@pytest.mark.parametrize(
    ("serving", "transport", "surge"),
    [
        ([ON_SOCKET], "socket", 0),
        ([OLD], "tcp", 1000),
        ([{"name": "qwen", **compose.meeting_points("qwen", 8001, "tcp", 1000, moves=True)}], "socket", 0),
        ([{"name": "far", "endpoints": ["somewhere"]}], "socket", 0),
        ([], "socket", 0),
    ],
)
def test_where_all_is_known_nothing_is_told(serving: list[dict[str, Any]], transport: str, surge: int) -> None:
    assert gateway_ahead(serving, transport, surge) == []


def test_a_rollback_moves_engines_to_where_they_were() -> None:
    back = gateway_ahead([ON_SOCKET], endpoints=[OLD])
    assert back[0]["standby"] == [SURGE, "127.0.0.1:8001", "127.0.0.1:9001"] and "address" not in back[0]
    assert gateway_ahead([ON_SOCKET], endpoints=[]) == []


def test_what_another_model_still_has_would_answer_for_the_wrong_one() -> None:
    yi = {**OLD, "name": "yi", "endpoints": ["127.0.0.1:8002"], "standby": ["127.0.0.1:9002"]}
    exchanged = [
        {**OLD, "endpoints": yi["endpoints"], "standby": []},
        {**yi, "endpoints": ["127.0.0.1:8003"], "standby": []},
    ]
    qwen, other = gateway_ahead([OLD, yi], endpoints=exchanged)
    assert qwen["standby"] == ["127.0.0.1:9001"] and other["standby"] == ["127.0.0.1:9002", "127.0.0.1:8003"]
