# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What forbids a stack on a host, each with the variable that it is about, in the order in which it is mended."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.filter.stack_refusals import stack_refusals
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.preflight import Found, refusals
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB

HOST = Found("gpu01", 0, frozenset({22, 8001}), frozenset({8001}), 30 * GIB)
PORTS = {"vllm_stack_models[0].port": 8001, "vllm_stack_models[1].port": 8002}


def told(host: Found = HOST, has_image: bool = False, *reasons: str) -> list[str]:
    """Return the sentences."""
    return [str(one) for one in refusals(host, reasons, PORTS, "30GiB", has_image)]


def test_a_host_that_can_serve_is_refused_nothing() -> None:
    assert told() == []


def test_an_ordinary_user() -> None:
    assert told(replace(HOST, uid=1000)) == [
        "ansible_become: tasks on gpu01 run as an ordinary user, who may not install packages or talk to Docker. Set it to true for that "
        "host, or connect as root."
    ]


def test_models_that_do_not_fit() -> None:
    assert told(HOST, False, "qwen needs more.", "yi, too.") == ["qwen needs more. yi, too."]


def test_ports_of_others() -> None:
    taken = replace(HOST, listening=frozenset({8001, 8002}))
    assert told(taken) == [
        "vllm_stack_models[1].port: 8002 is in use on gpu01 by a process that is not ours. End it, or choose another port."
    ]
    assert told(replace(taken, ours=frozenset()))[0].startswith(
        "vllm_stack_models[0].port, vllm_stack_models[1].port: 8001, 8002 is in use"
    )


@pytest.mark.parametrize(("free", "has_image", "refused"), [(30 * GIB - 1, False, True), (1, True, False)])
def test_room_for_the_image(free: int, has_image: bool, refused: bool) -> None:
    assert bool(told(replace(HOST, images_free_bytes=free), has_image)) is refused
    assert told(replace(HOST, images_free_bytes=GIB // 2)) == [
        "vllm_stack_image_disk: gpu01 has 0.5 GiB free where Docker keeps images and the engine's image needs 30GiB. Free some, or move "
        "Docker's data to a larger disk with docker_engine_data_root."
    ]


def test_a_size_that_is_none_names_its_variable() -> None:
    with pytest.raises(FleetError, match="vllm_stack_image_disk"):
        refusals(HOST, [], {}, "much", False)


def test_all_of_it_in_the_order_in_which_it_is_mended() -> None:
    worst = replace(HOST, uid=1, ours=frozenset(), images_free_bytes=0)
    assert [one.where for one in refusals(worst, ["No."], PORTS, "30GiB", False)] == [
        "ansible_become",
        "",
        "vllm_stack_models[0].port",
        "vllm_stack_image_disk",
    ]


SEEN: dict[str, Any] = {
    "uid": 0,
    "listening": [8001, 8002],
    "containers": [{"ports": [8001]}],
    "gateway": {"ports": [8002]},
    "docker": {"images_free_bytes": 0},
}


def test_the_filter_reads_what_modules_return() -> None:
    skipped: dict[str, Any] = {"skipped": True, "changed": False}
    assert stack_refusals(SEEN, "gpu01", skipped, PORTS, "0", skipped) == []
    assert stack_refusals({**SEEN, "containers": []}, "gpu01", skipped, PORTS, "0", skipped)[0].startswith(
        "vllm_stack_models[0].port: 8001 is in use"
    )
    for plan, said in (
        ({"feasible": False, "reasons": ["Too much."]}, "Too much."),
        ({"feasible": False}, "The models do not fit."),
    ):
        assert stack_refusals(SEEN, "gpu01", {"plan": plan}, PORTS, "0", {}) == [said]
    assert stack_refusals(SEEN, "gpu01", {"plan": {"feasible": True}}, PORTS, "1GiB", {"present": True}) == []
    assert len(stack_refusals(SEEN, "gpu01", {"plan": {"feasible": True}}, PORTS, "1GiB", skipped)) == 1
