# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After a boot: who is started by the unit, and in which order."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.boot import boot_sequence

SERVICES = [{"name": name, "container": f"vllm-{name}", "port": 8001 + at} for at, name in enumerate(["b", "a", "c"])]


def plan(exact: bool = False) -> dict[str, Any]:
    """Return a plan of two GPUs: b lies on both, and is the largest only when both are counted."""
    model = {
        name: {"name": name, "total_bytes": size, "exact_kv": exact}
        for name, size in zip("abc", (5, 4, 7), strict=True)
    }
    return {"gpus": [{"models": [model["a"], model["b"]]}, {"models": [model["b"], model["c"]]}]}


def names(order: str, version: str = "29.0.0", exact: bool = False, device: str = "cuda") -> list[str]:
    return [engine["container"][-1] for engine in boot_sequence(plan(exact), SERVICES, order, version, device)]


@pytest.mark.parametrize(
    ("order", "expected"),
    [("smallest_first", ["a", "c", "b"]), ("largest_first", ["b", "c", "a"]), ("listed", ["b", "a", "c"])],
)
def test_the_order_asked_for_holds_after_a_boot_too(order: str, expected: list[str]) -> None:
    assert names(order) == expected


def test_an_engine_is_named_by_its_container_and_its_port() -> None:
    assert boot_sequence(plan(), SERVICES, "listed", "", "cpu")[1] == {"container": "vllm-a", "port": 8002}


@pytest.mark.parametrize(
    ("version", "expected"),
    [("28.1.9", 3), ("27.5.1", 3), ("26.1.5+dfsg1", 3), ("28.2.0", 0), ("28.10.0", 0), ("29.0.0", 0), ("", 0)],
)
def test_engines_with_exact_bytes_are_docker_s_from_28_2_on(version: str, expected: int) -> None:
    assert len(names("listed", version, exact=True)) == expected


def test_without_a_gpu_docker_brings_them_back_whatever_its_version() -> None:
    assert names("listed", "20.10.24", exact=True, device="cpu") == []


def test_a_part_of_a_group_of_hosts_never_comes_back_alone() -> None:
    services = [{**service, **({"group": "1/2"} if service["name"] == "a" else {})} for service in SERVICES]
    for version, exact in (("29.0.0", False), ("27.0.0", True)):
        started = boot_sequence(plan(exact), services, "listed", version, "cuda")
        assert [engine["container"] for engine in started] == ["vllm-b", "vllm-c"]
