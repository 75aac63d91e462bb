# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set as it should be: its services, what is looked at, who leaves, and where a surge instance could listen."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import sockets
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import Service
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.target import Target, Watched
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB

WIDE = {"gpu_uuids": ["GPU-2", "GPU-1"], "total_bytes": 9 * GIB, "weights_bytes": 5 * GIB, "exact_kv": True}
SMALL = {"gpu_uuids": ["GPU-1"], "total_bytes": 2 * GIB, "exact_kv": False}


def target(network: str | None = "bridge", port: int = 8001, other: int = 8002) -> Target:
    entry = {"name": "wide", "digest": "d", "port": port, "container": "vllm-wide", "image": "image"}
    entries = [
        {**entry, **({"network": network} if network else {})},
        {"name": "small", "digest": "e", "port": other, "container": "vllm-small", "image": "image"},
    ]
    wide = {"name": "wide", "kv_cache_bytes": GIB, **WIDE}
    # A model over several cards stands under each of them, and one that is not in the set may be in its plan.
    gpus = [
        {"models": [wide, {"name": "small", "kv_cache_bytes": 0, **SMALL}]},
        {"models": [wide, {"name": "another", "kv_cache_bytes": 0, **SMALL}]},
    ]
    return Target.of({"services": entries, "plan": {"gpus": gpus}, "endpoints": [{"name": "wide"}]})


def test_a_set_is_read_whole() -> None:
    found = target()
    assert found.services == (
        Service("wide", "d", 8001, ("GPU-2", "GPU-1"), 9 * GIB, exact_kv=True, weights_bytes=10 * GIB),
        Service("small", "e", 8002, ("GPU-1",), 2 * GIB, exact_kv=False),
    )
    assert found.watched == (
        Watched("wide", "vllm-wide", "image", 8001, ("GPU-2", "GPU-1"), 9 * GIB, digest="d"),
        Watched("small", "vllm-small", "image", 8002, ("GPU-1",), 2 * GIB, task="embed", digest="e"),
    )
    assert found.digests == {"wide": "d", "small": "e"}
    assert found.gpus == ["GPU-1", "GPU-2"], "in one order for all runs, which take their locks by it"
    assert found.containers == ["vllm-wide", "vllm-small"]
    assert found.watched_as("small").port == 8002
    assert set(found.planned) == {"wide", "small"}


def test_what_comes_after_a_bring_up_needs_of_it() -> None:
    found = target().as_result
    assert found["generating"] == ["wide"]
    assert [one["name"] for one in found["services"]] == ["wide", "small"]
    assert found["endpoints"] == [{"name": "wide"}]
    assert set(found["plan"]) == {"gpus"}
    assert Target.of({"services": [], "plan": {"gpus": []}, "endpoints": None}).endpoints == []


def test_one_that_left_is_known_by_its_container() -> None:
    left = Watched("wide", "vllm-wide", "", 8009, ("GPU-1",), GIB, left=True)
    assert (left.key, target().watched_as("wide").key) == ("/vllm-wide", "wide")
    assert left.leaver() == Service("/vllm-wide", "", 8009, ("GPU-1",), 0, exact_kv=True, leaves=True)


def test_a_surge_instance_is_the_same_somewhere_else() -> None:
    surge = target().watched_as("wide").surge(1000)
    assert (surge.container, surge.port, surge.name) == ("vllm-wide-surge", 9001, "wide")


LEFT: dict[str, Any] = {"image": "", "gpus": (), "planned_bytes": 0, "task": "generate", "left": True}


@pytest.mark.parametrize(
    ("changed", "offset", "listening", "leavers", "possible"),
    [
        ({}, 1000, [], [], True),
        ({"network": None}, 1000, [], [], True),
        ({}, 0, [], [], False),
        ({"network": "host"}, 1000, [], [], False),
        ({"port": 64535}, 1000, [], [], True),
        ({"port": 64536}, 1000, [], [], False),
        ({}, 1000, [9001], [], False),
        ({}, 1000, [9002], [], True),
        ({"other": 9001}, 1000, [], [], False),
        ({}, 1000, [], [Watched("x", "vllm-x", port=9001, **LEFT)], False),
        ({}, 1000, [], [Watched("x", "vllm-x", port=9003, **LEFT)], True),
        ({}, 1000, [], [Watched("wide", "vllm-wide-surge", port=7000, **LEFT)], False),
    ],
)
def test_whether_a_surge_instance_could_listen_is_known_before(
    changed: dict[str, Any], offset: int, listening: list[int], leavers: list[Watched], possible: bool
) -> None:
    wide, _small = target(**changed).services_with_surge(offset, listening, leavers)
    assert wide.surge is possible


def test_on_sockets_a_surge_instance_is_in_no_ports_way() -> None:
    entry = {"name": "wide", "digest": "d", "port": 65000, "container": "vllm-wide", "image": "image"}
    model = {"name": "wide", "gpu_uuids": ["GPU-1"], "total_bytes": 1, "exact_kv": True, "kv_cache_bytes": 1}
    kept = {
        "services": [{**entry, "network": "none", "socket": sockets.path("wide")}],
        "plan": {"gpus": [{"models": [model]}]},
    }
    found = Target.of(kept)
    assert found.services_with_surge(1000, [65000, 66000], [])[0].surge
    assert not found.services_with_surge(0, [], [])[0].surge
    watched = found.watched_as("wide")
    assert (watched.where, watched.surge(1000).where) == (sockets.path("wide"), sockets.path("wide-surge"))
