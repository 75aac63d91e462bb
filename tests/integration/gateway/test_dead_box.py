# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A box that loses its power or its network without a word: what is under way there ends at the edge; what is merely silent goes on."""

from __future__ import annotations

import http.client
import json
import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.tests.support.gateway.container import Container
from ansible_collections.gpuserve.fleet.tests.support.gateway.distant import DistantBoxes

from .test_streams import CHAT

# Longer than an edge asks a box that says nothing any more.
SILENT_S = 40
SILENT = {"stub_delay_ms": SILENT_S * 1000}
STREAM = {"stream": True, "max_tokens": 1000, "stub_gap_ms": 200}
# More than the kernels of both sides take while nobody reads: they go on acknowledging, with no room for more.
LARGE = {"messages": [{"role": "user", "content": "x" * 16_000_000}]}
DEAD = ("plain", "tls")


def test_what_is_under_way_at_a_box_without_power_ends_and_what_is_silent_goes_on() -> None:
    if "GPUSERVE_GATEWAY_HOST" in os.environ:
        pytest.skip("starts boxes of its own: make test-gateway runs this")
    with DistantBoxes((*DEAD, "paused", "slow"), tls=("tls", "slow")) as distant:
        variables = {"gateway_check_interval_s": 1, "gateway_slow_start_s": 0, "gateway_workers": 1}
        with Container({**variables, **distant.edge}, ()) as edge, ThreadPoolExecutor(16) as pool:
            edge.wait_for(lambda: edge.ask("GET", "/health").status == 200)
            began = time.monotonic()

            def asked(**body: Any) -> Future[str]:
                return pool.submit(_outcome, edge, body, began)

            lost = {f"{model}, by a process that ends": asked(model=model, **SILENT) for model in DEAD}
            edge.wait_for(lambda: edge.in_flight() == len(lost))
            edge.reload()
            edge.wait_for(lambda: len(edge.workers()) == 2)
            lost |= {f"{model}, silent": asked(model=model, **SILENT) for model in DEAD}
            lost |= {f"{model}, a stream": asked(model=model, **STREAM) for model in DEAD}
            silent = [asked(model="slow", **SILENT), asked(model="paused", **{**STREAM, "max_tokens": 10})]
            # So that some connections are there which nobody uses when the power goes.
            assert [one.result()[:3] for one in [asked(model=model) for model in DEAD * 3]] == ["200"] * 6
            edge.wait_for(lambda: edge.in_flight() == len(lost) + len(silent))

            for model in DEAD:
                distant.boxes[model].lose_power()
                # Over a connection that is there already: nobody ever acknowledges it.
                lost[f"{model}, sent afterwards"] = asked(model=model)
            distant.boxes["paused"].pause()
            silent.append(asked(model="paused", **LARGE))
            try:
                time.sleep(SILENT_S)
                said = {name: one.result() if one.done() else "hangs" for name, one in lost.items()}
            finally:
                distant.boxes["paused"].go_on()
                if not all(one.done() for one in lost.values()):
                    edge.docker("kill", "CONTAINER")
            print(json.dumps(said, indent=4))
            for name, outcome in said.items():
                # 504 is what had no connection after all, and could open none.
                ends = {"stream": ["200, cut"], "afterwards": ["502", "504"]}.get(name.split()[-1], ["502"])
                assert outcome.partition(" after")[0] in ends, (name, outcome)
            assert [one.result().partition(" after")[0] for one in silent] == ["200"] * 3


def _outcome(edge: Container, body: dict[str, Any], began: float) -> str:
    """Send a request; return its status, and whether its answer was cut off."""
    line = http.client.HTTPConnection(edge.host, edge.port, timeout=120)
    status = 0
    try:
        line.request("POST", CHAT, json.dumps(body))
        answer = line.getresponse()
        status = answer.status
        answer.read()
        cut = ""
    except (OSError, http.client.HTTPException):
        cut = ", cut"
    finally:
        line.close()
    return f"{status}{cut} after {time.monotonic() - began:.0f} s"
