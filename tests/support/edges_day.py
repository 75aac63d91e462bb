# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The day of two edges before the fleet's two boxes, and how an edge is taken down. By hand: a second edge is one box more.

python -m ...edges_day INVENTORY ADDRESS    as fleet_day, after the scenario's prepare

The inventory has fleet-edge2 in the group edge as well, made by `lab box up fleet-edge2 --suite trixie` and `python -m ...gateway.image
fleet-edge2`.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from ansible_collections.gpuserve.fleet.tests.support.edge_clients import STREAM_S, Clients
from ansible_collections.gpuserve.fleet.tests.support.fleet_day import (
    DRAINED,
    EDGE,
    PLAIN,
    STREAMS,
    A,
    B,
    Fleet,
    check,
    flags,
    play,
    wait_for,
)
from ansible_collections.gpuserve.fleet.tests.support.lab import boxes

OTHER = "fleet-edge2"
EDGES = (EDGE, OTHER)
# Which of ours are on an edge, a line each.
LEFT = (
    "docker ps -aq --filter name=gpuserve; "
    "ls -d /opt/gpuserve/gateway /etc/tmpfiles.d/gpuserve-gateway.conf /run/gpuserve/draining 2>/dev/null; "
    "id -un gpuserve-gateway 2>/dev/null || true"
)


def alive(address: str) -> bool:
    """Tell whether an edge answers."""
    line = http.client.HTTPConnection(address, 8000, timeout=2)
    try:
        line.request("GET", "/livez")
        return line.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        line.close()


@contextmanager
def asked_at(edges: dict[str, str], part: str) -> Iterator[None]:
    """Ask each of these edges during a part of the day; nothing may be lost."""
    clients = {edge: Clients(address) for edge, address in edges.items()}
    with ExitStack() as stack:
        for one in clients.values():
            stack.enter_context(one.asking(PLAIN, STREAMS))
        yield
    for edge, one in clients.items():
        print(json.dumps({"part": part, "edge": edge, **one.answers}), flush=True)
        check(one.answers["plain"] > PLAIN and one.answers["stream"] > STREAMS, f"{part}: too little was asked")
        check(not one.lost, f"{part}, {edge}: {one.lost[:5]}")


@contextmanager
def one_answers(edges: dict[str, str]) -> Iterator[None]:
    """Look all the while whether one of the edges answers."""
    enough, silent = threading.Event(), [0]

    def probe() -> None:
        while not enough.wait(0.1):
            silent[0] += not any(alive(address) for address in edges.values())

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join(60)
    check(silent[0] == 0, f"no edge answered, {silent[0]} times")


def addresses() -> dict[str, str]:
    """Return where each edge is."""
    return {edge: boxes.get(edge).address for edge in EDGES}


def drained(fleet: Fleet) -> str:
    """Which boxes the edges keep out of new requests."""
    return "".join(fleet.on(edge, "ls", "/run/gpuserve/draining") for edge in EDGES)


def left(fleet: Fleet, edge: str) -> str:
    """What there is of ours on an edge."""
    return fleet.on(edge, "sh", "-c", LEFT)


def gateways(fleet: Fleet) -> list[str]:
    """When the gateway of each edge was started."""
    asked = ("docker", "inspect", "--format", "{{.State.StartedAt}}", "gpuserve-gateway")
    return [fleet.on(edge, *asked) for edge in EDGES]


def read_at(fleet: Fleet, edge: str) -> str:
    """Which configuration the gateway of an edge serves."""
    return fleet.on(edge, "sh", "-c", "sha256sum /opt/gpuserve/gateway/conf/live/*")


def set_up(fleet: Fleet) -> None:
    """Both edges get all routes."""
    status, output = fleet.site()
    check(status == 0, output)
    for edge in EDGES:
        routes = fleet.on(edge, "cat", "/opt/gpuserve/gateway/conf/live/data.json")
        check(all(fleet.addresses[box] in routes for box in (A, B)), f"{edge}: {routes}")


def changed_flag(fleet: Fleet) -> None:
    """A flag changes on one box after the other; each is drained at both edges first."""
    before = fleet.started(A), fleet.started(B)
    with asked_at(addresses(), "a changed flag"):
        status, output = fleet.site("-e", flags(16))
    check(status == 0, output)
    check(all(now != was for now, was in zip((fleet.started(A), fleet.started(B)), before, strict=True)), output)
    told = [f"changed: [{box} -> {edge}(" for box in (A, B) for edge in EDGES]
    check(output.count(DRAINED) == 2 and all(line in output for line in told), output)
    check(drained(fleet) == "", "a box is drained still")


def changed_edges(fleet: Fleet) -> None:
    """What starts gateways of edges anew leaves one that answers, all the while."""
    before = gateways(fleet)
    with one_answers(addresses()):
        status, output = fleet.site("-l", "edge", "-e", "gateway_metrics_address=0.0.0.0:9401")
        check(status == 0, output)
        # One after the other again, back to what later parts take for granted.
        status, output = fleet.site("-l", "edge")
    check(status == 0, output)
    check(all(now != was for now, was in zip(gateways(fleet), before, strict=True)), "a gateway was not started anew")


def dead_edge(fleet: Fleet) -> None:
    """The first edge is down: each box is drained at the other one, which is configured as well, and the run says so of the first."""
    there = {OTHER: addresses()[OTHER]}
    subprocess.run(["docker", "stop", "--time", "2", boxes.container_name(EDGE)], check=True, capture_output=True)
    before, serving = (fleet.started(A), fleet.started(B)), read_at(fleet, OTHER)
    with asked_at(there, "an edge is down"):
        status, output = fleet.site("-e", flags(8), "-e", "gateway_check_interval_s=2")
    said = " ".join(output.split())
    check(status == 2 and "UNREACHABLE" not in output, output)
    check(said.count("An edge that is down sends boxes nothing, so they change without it.") == 1, output)
    check(
        f"{EDGE}: it was not reached (" in said and "Mend what stands in the way, and run site.yml -l edge." in said,
        output,
    )
    check(all(now != was for now, was in zip((fleet.started(A), fleet.started(B)), before, strict=True)), output)
    check(all(f"changed: [{box} -> {OTHER}(" in output for box in (A, B)), output)
    check(fleet.on(OTHER, "ls", "/run/gpuserve/draining") == "", "a box is drained still")
    check(read_at(fleet, OTHER) != serving, "the other edge was not configured")
    boxes.up(EDGE)
    # Its gateway is there again by itself, and then has what the other one got.
    wait_for(lambda: alive(addresses()[EDGE]), 60)
    status, output = fleet.site("-l", "edge")
    check(status == 0, output)


def failing_edge(fleet: Fleet) -> None:
    """The first edge can't serve what it is given: the other one is not touched and answers, all the while."""
    before, serving = gateways(fleet), read_at(fleet, OTHER)
    with asked_at({OTHER: addresses()[OTHER]}, "an edge fails"):
        fleet.on(EDGE, "sh", "-c", "mv /usr/bin/docker /usr/bin/docker.away")
        status, output = fleet.site("-l", "edge", "-e", "gateway_check_interval_s=3")
        fleet.on(EDGE, "sh", "-c", "mv /usr/bin/docker.away /usr/bin/docker")
        time.sleep(STREAM_S + 1)
    check(status == 2 and f"{OTHER} behind it in the group: not touched." in " ".join(output.split()), output)
    check(gateways(fleet) == before and read_at(fleet, OTHER) == serving, "the other edge was touched")


def edge_taken_down(fleet: Fleet) -> None:
    """One edge is taken down by its name: all of ours is gone there, all others serve on, and a second run changes nothing."""
    before = fleet.started(A), fleet.started(B)
    with asked_at({EDGE: addresses()[EDGE]}, "the other edge is taken down"):
        status, output = fleet.play("teardown.yml", "-e", f"gpuserve_hosts={OTHER}")
        time.sleep(STREAM_S + 1)
    check(status == 0, output)
    check(left(fleet, OTHER) == "", left(fleet, OTHER))
    check((fleet.started(A), fleet.started(B)) == before and A not in output.split("PLAY RECAP")[1], output)
    status, output = fleet.play("teardown.yml", "-e", f"gpuserve_hosts={OTHER}")
    check(status == 0 and "changed=0" in output, output)
    # A box that changes afterwards is drained where there is an edge.
    wait_for(lambda: alive(addresses()[EDGE]), 10)


PARTS = (set_up, changed_flag, changed_edges, dead_edge, failing_edge, edge_taken_down)


if __name__ == "__main__":
    play(PARTS)
