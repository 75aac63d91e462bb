# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two edges behind one address, by what docs/fleet.md gives keepalived: when the address moves, and when it does not."""

from __future__ import annotations

import os
import time

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.gateway.leaving import FILE
from ansible_collections.gpuserve.fleet.tests.support.gateway.edges import Edges
from ansible_collections.gpuserve.fleet.tests.support.lab.common import docker

# Longer than an edge may be silent before the address moves.
SETTLED_S = 5


def test_the_address_is_with_an_edge_that_answers_and_moves_for_nothing_else() -> None:
    if "GPUSERVE_GATEWAY_HOST" in os.environ:
        pytest.skip("starts edges of its own: make test-gateway runs this")
    with Edges() as edges:
        first = edges.holder()
        with edges.asked() as answered:
            for _at in range(3):
                edges.nginx(first, "reload")
                time.sleep(SETTLED_S / 3)
        assert edges.holders() == [first]
        assert len(answered) > 10 and all(answered)

        # An edge is gone without a word; nobody takes the address from the other one when it is back.
        docker("kill", first)
        second = edges.holder(other_than=first)
        edges.wait_for_answers()
        with edges.asked() as answered:
            docker("start", first)
            time.sleep(2 * SETTLED_S)
        assert edges.holders() == [second]
        assert len(answered) > 10 and all(answered)

        # One that is about to stop says so, and answers until the address has moved: nobody is refused. What was under way then is lost.
        with edges.asked() as answered:
            edges.on(second, "touch", f"/draining/{FILE}")
            assert edges.holder(other_than=second) == first
            time.sleep(SETTLED_S / 2)
        edges.on(second, "rm", f"/draining/{FILE}")
        assert len(answered) > 10 and answered.count(False) <= 1
        time.sleep(SETTLED_S)
        assert edges.holders() == [first]
        first, second = second, first

        # A gateway that has stopped, and one that hangs; keepalived is well at both.
        edges.nginx(second, "stop")
        assert edges.holder(other_than=second) == first
        edges.wait_for_answers()
        edges.start_nginx(second)
        time.sleep(SETTLED_S)
        assert edges.holders() == [first]
        edges.on(first, "pkill", "-STOP", "nginx")
        assert edges.holder(other_than=first) == second
        edges.wait_for_answers()
