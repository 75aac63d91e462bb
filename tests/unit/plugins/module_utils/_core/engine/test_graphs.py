# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Classes that start with graphs in pieces alone, and what is said to an engine of them."""

from __future__ import annotations

import json

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine import graphs, vllm
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine.vllm import EngineSettings
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import parse_models

REALTIME = "VoxtralRealtimeGeneration"
SINCE = graphs.WHOLE_SINCE[REALTIME]
BEFORE = (SINCE[0], SINCE[1] - 1, 9)


@pytest.mark.parametrize(
    ("served_as", "version", "pieces"),
    [
        (REALTIME, BEFORE, True),
        (REALTIME, SINCE, False),
        ("VoxtralRealtimeForConditionalGeneration", BEFORE, True),
        ("VoxtralForConditionalGeneration", BEFORE, False),
        ("", (0, 9, 1), False),
    ],
)
def test_which_classes_start_with_graphs_in_pieces_alone(
    served_as: str, version: tuple[int, int, int], pieces: bool
) -> None:
    assert graphs.in_pieces(served_as, version) is pieces


@pytest.mark.parametrize(
    ("extra_args", "said"),
    [
        ([], True),
        (["--max-log-len=9"], True),
        # What a user says of graphs is believed, however it is written.
        (["--compilation-config", '{"cudagraph_mode": "NONE"}'], False),
        (["--compilation_config={}"], False),
        (["-cc.cudagraph_mode=PIECEWISE"], False),
    ],
)
def test_an_engine_is_told_once(extra_args: list[str], said: bool) -> None:
    assert graphs.arguments(extra_args) == (["--compilation-config", '{"cudagraph_mode":"PIECEWISE"}'] if said else [])
    spec = parse_models([{"name": "m", "model": "x/y", "extra_args": extra_args}])[0]
    profile = vllm.profile("0.26.0")
    found = vllm.engine_args(spec, profile, EngineSettings(8, 1, 8, in_pieces=True))
    assert any(arg.startswith(("--compilation", "-cc")) for arg in found)
    assert (graphs.PIECES in found) is said
    for other in (EngineSettings(8, 1, 8), EngineSettings(8, 1, 8, in_pieces=True, enforce_eager=True)):
        assert graphs.PIECES not in vllm.engine_args(spec, profile, other)


def test_what_is_said_is_json() -> None:
    assert json.loads(graphs.PIECES) == {"cudagraph_mode": "PIECEWISE"}
