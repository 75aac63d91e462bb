# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The double of an engine takes what plans hand to engines: else every test on doubles stops at a flag that is new."""

from __future__ import annotations

import re
import socket
import threading
import time
from pathlib import Path

import pytest

from ansible_collections.gpuserve.fleet.tests.support.doubles import engine_double

PLANS = Path(__file__).parents[3] / "plugins" / "module_utils" / "_core" / "engine" / "vllm.py"


def test_the_double_knows_every_flag_that_a_plan_can_hand_over() -> None:
    flags = set(re.findall(r'"(--[a-z0-9-]+)"', PLANS.read_text(encoding="utf-8")))
    known = set(engine_double.parser()._option_string_actions)
    assert len(flags) > 10
    assert flags - known == set()


def test_a_flag_that_nobody_hands_over_ends_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        engine_double.parser().parse_args(["model", "--served-model-name", "qwen", "--no-such-flag"])
    assert "unrecognized arguments: --no-such-flag" in capsys.readouterr().err


def test_engines_of_several_hosts_wait_for_each_other_and_the_first_knows_of_one_that_ended() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [
        "model",
        "--served-model-name",
        "large",
        "--nnodes",
        "2",
        "--master-addr",
        "127.0.0.1",
        "--master-port",
        str(port),
    ]
    first, other = (
        engine_double.Others(engine_double.parser().parse_args([*words, "--node-rank", rank])) for rank in ("0", "1")
    )
    waits = threading.Thread(target=first.join, daemon=True)
    waits.start()
    other.join()
    waits.join(30)
    assert not waits.is_alive() and first.are_there() and other.are_there()
    other._lines[0].close()
    until = time.monotonic() + 30
    while first.are_there():
        assert time.monotonic() < until, "it does not see that the other one is gone"
    alone = engine_double.Others(engine_double.parser().parse_args(words[:3]))
    alone.join()
    assert alone.are_there()
