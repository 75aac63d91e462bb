# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that serve a model together: who is which, and what stands in their way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet.groups import (
    Host,
    headless,
    members,
    mistakes,
    one_by_one,
    out_of_forks,
    parted,
    ranked,
    routes,
    together,
    units,
)

ENTRY = {"name": "large", "model": "owner/large", "distributed": {"hosts": 2}}
ONE = Host("gpu01", 0, ENTRY, "192.0.2.1", "vllm/vllm-openai:v0.33.0", "", "cuda", ("NVIDIA GeForce RTX 5090",))
TWO = replace(ONE, name="gpu02", address="192.0.2.2")


def said(*hosts: Host) -> list[str]:
    return [str(error) for error in mistakes("large", hosts)]


def test_hosts_that_are_alike_are_a_group() -> None:
    assert said(ONE, TWO) == []
    # A host may have a port and cards of its own.
    assert said(ONE, replace(TWO, entry={**ENTRY, "port": 8005, "gpus": [1]})) == []
    # Two hosts joined by a cable have addresses of their own.
    assert said(replace(ONE, address="169.254.1.1"), replace(TWO, address="169.254.1.2")) == []


def test_who_serves_stays_when_others_come_and_go() -> None:
    hosts = [replace(ONE, name=f"gpu{at}", address=f"192.0.2.{at}") for at in range(1, 6)]
    order = [host.name for host in ranked("large", hosts)]
    assert order != sorted(order), "the model's own order, and not the names'"
    assert [host.name for host in ranked("large", list(reversed(hosts)))] == order
    without = [host for host in hosts if host.name != order[2]]
    assert [host.name for host in ranked("large", without)] == [name for name in order if name != order[2]]


def test_each_is_told_its_place_and_where_the_first_one_is() -> None:
    told = members("large", [ONE, TWO])
    first = next(name for name, member in told.items() if member["rank"] == 0)
    address = {"gpu01": "192.0.2.1", "gpu02": "192.0.2.2"}
    assert sorted(member["rank"] for member in told.values()) == [0, 1]
    assert {member["master_address"] for member in told.values()} == {address[first]}
    assert {name: member["address"] for name, member in told.items()} == address


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"image": "vllm/vllm-openai:v0.32.0"}, "gpu01 and gpu02 differ in vllm_stack_engine_image for large."),
        ({"version": "0.32.0"}, "differ in vllm_stack_engine_version"),
        ({"device": "cpu"}, "differ in vllm_stack_device"),
        ({"cards": ("NVIDIA GeForce RTX 4090",)}, "differ in vllm_stack_gpus"),
        ({"entry": {**ENTRY, "max_num_seqs": 4}}, "differ in the model's entry"),
        ({"address": "192.0.2.1"}, "gpuserve_address: gpu01 and gpu02 have one, 192.0.2.1. Give each its own."),
        (
            {"address": "gpu02"},
            "gpuserve_address: gpu02 is one of several hosts of a model, and 'gpu02' is no IP address.",
        ),
        (
            {"address": "fd00::2"},
            "gpu01 and gpu02 differ in IPv4 and IPv6 for large. Set gpuserve_address of each to one kind.",
        ),
        ({"address": "fe80::2"}, "no other host reaches fe80::2."),
        ({"address": "0.0.0.0"}, "no other host reaches 0.0.0.0."),
        ({"address": "224.0.0.1"}, "no other host reaches 224.0.0.1."),
        ({"address": "127.0.0.1"}, "no other host reaches 127.0.0.1. Write the address that they reach."),
    ],
)
def test_what_differs_is_one_sentence(change: dict[str, Any], what: str) -> None:
    found = said(ONE, replace(TWO, **change))
    assert len(found) == 1 and what in found[0]


def test_addresses_are_compared_with_all_others() -> None:
    three = {**ENTRY, "distributed": {"hosts": 3}}
    hosts = [replace(host, entry=three) for host in (ONE, TWO, replace(TWO, name="gpu03"))]
    assert said(*hosts) == ["gpuserve_address: gpu02 and gpu03 have one, 192.0.2.2. Give each its own."]


def test_what_the_placement_decides_is_nobody_elses_to_write() -> None:
    own = {**ENTRY, "distributed": {"hosts": 2, "member": members("large", [ONE, TWO])["gpu01"]}}
    assert "vllm_stack_models[0].distributed.member: the placement decides it. Leave it out." in said(
        *(replace(host, entry=own) for host in (ONE, TWO))
    )


def test_a_group_has_as_many_hosts_as_it_says() -> None:
    assert said(ONE, TWO, replace(TWO, name="gpu03", address="192.0.2.3")) == [
        "vllm_stack_models[0].distributed: large is to be spread over 2 hosts, and 3 have it. "
        "Write its entry once, in group_vars of all its hosts."
    ]


# Two models that share a host, and one of two hosts of their own.
GROUPS = {
    "large": {"gpu02": {"rank": 0}, "gpu01": {"rank": 1}},
    "other": {"gpu02": {"rank": 1}, "gpu03": {"rank": 0}},
    "third": {"gpu05": {"rank": 0}, "gpu04": {"rank": 1}},
}


def test_a_playbook_for_one_host_after_the_other_refuses_the_groups_that_it_would_touch() -> None:
    assert one_by_one({}, ["gpu01"]) == [] == one_by_one(GROUPS, ["gpu06"])
    (error,) = one_by_one(GROUPS, ["gpu04", "gpu06"])
    assert str(error).startswith("vllm_stack_models: gpu05, gpu04 serve third together, and this playbook takes one")


def test_each_host_that_waits_for_others_needs_a_process() -> None:
    hosts = [f"gpu0{at}" for at in range(1, 7)]
    assert out_of_forks(GROUPS, hosts, 3) == [] == out_of_forks({}, hosts, 1)
    (error,) = out_of_forks(GROUPS, hosts, 2)
    assert str(error) == (
        "forks: gpu01, gpu02, gpu03 serve together and change at the same time, and Ansible works on 2 at once. "
        "Run with --forks 3, or more."
    )
    assert out_of_forks(GROUPS, ["gpu04", "gpu05", "gpu06"], 2) == []


def test_who_computes_for_others_alone_and_with_whom_a_host_changes() -> None:
    # gpu02 is the first of one group, gpu04 has a model of its own beside its part.
    assert headless(GROUPS, lambda host: host in ("gpu02", "gpu03", "gpu04", "gpu05")) == ["gpu01"]
    assert headless({}, lambda _host: False) == []
    assert units(GROUPS) == {
        **{host: ["gpu01", "gpu02", "gpu03"] for host in ("gpu01", "gpu02", "gpu03")},
        **{host: ["gpu04", "gpu05"] for host in ("gpu04", "gpu05")},
    }


def stage(tokens: int, feasible: bool = True) -> dict[str, Any]:
    model = {"name": "large", "kv_cache_tokens": tokens, "max_model_len": 8192, "max_concurrency": tokens / 8192}
    return {"feasible": feasible, "gpus": [{"models": []}, {"models": [{**model, "name": "small"}, model]}]}


def test_the_stage_with_the_fewest_tokens_decides_what_all_serve() -> None:
    told = {"large": {"gpu01": {"rank": 1}, "gpu02": {"rank": 0}}}
    assert together(told, {"gpu01": stage(40960), "gpu02": stage(40960)}) == [
        "large over gpu02, gpu01: 40,960 tokens, 5 requests of 8,192 at once."
    ]
    assert together(told, {"gpu01": stage(20000), "gpu02": stage(40960)}) == [
        "large over gpu02, gpu01: 20,000 tokens, 2 requests of 8,192 at once: the stage on gpu01 has the fewest."
    ]
    assert together(told, {"gpu01": stage(0, feasible=False), "gpu02": stage(40960)}) == [
        "large over gpu02, gpu01: it does not fit on gpu01."
    ]


def test_nothing_is_said_of_hosts_that_were_not_planned() -> None:
    told = {"large": {"gpu01": {"rank": 1}, "gpu02": {"rank": 0}}}
    assert together(told, {"gpu02": stage(40960)}) == []
    assert together({}, {"gpu02": stage(40960)}) == []


def test_the_first_host_of_a_group_answers_for_it() -> None:
    groups = {"large": members("large", [ONE, TWO])}
    first, second = ranked("large", [ONE, TWO])
    placed = {"large": [second.name, first.name], "small": ["gpu01", "gpu03"]}
    assert routes(placed, groups) == {"large": [first.name], "small": ["gpu01", "gpu03"]}


def test_a_run_is_for_all_hosts_of_a_group_or_for_none() -> None:
    groups = {"large": members("large", [ONE, TWO])}
    first, second = ranked("large", [ONE, TWO])
    assert parted(groups, ["gpu01", "gpu02", "gpu03"]) == parted(groups, ["gpu03"]) == parted({}, []) == []
    assert [str(error) for error in parted(groups, [second.name])] == [
        f"vllm_stack_models: {first.name}, {second.name} serve large together, and {first.name} is not among the hosts of this run. "
        f"Name all of them (-l {first.name},{second.name}), or none."
    ]
