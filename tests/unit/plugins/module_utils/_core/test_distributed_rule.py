# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""distributed of a model's entry: what is taken, and what is said of the rest."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.distributed_rule import (
    Distributed,
    Member,
    parse,
    rule_of,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.placement_rule import PlacementRule
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.ports import PortRules
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import parse_models

MEMBER = {"rank": 1, "address": "192.0.2.2", "master_address": "192.0.2.1"}
LARGE = {"name": "large", "model": "owner/large", "port": 8001, "distributed": {"hosts": 2}}


def refusal(**change: Any) -> str:
    with pytest.raises(FleetError) as refused:
        parse_models([{**LARGE, **change}])
    return str(refused.value)


def test_an_entry_without_it_is_each_hosts_own() -> None:
    assert parse(None, "x") is None
    assert parse_models([{"name": "small", "model": "owner/small"}])[0].distributed is None


def test_a_host_has_a_stage_and_the_first_one_the_api() -> None:
    assert parse({"hosts": "2"}, "x") == parse({"hosts": 2, "pipeline_parallel": 2, "master_port": 29501}, "x")
    assert parse({"hosts": 2, "member": MEMBER}, "x") == Distributed(2, 29501, Member(1, "192.0.2.2", "192.0.2.1"))
    assert [
        found is not None and found.is_headless
        for found in (parse({"hosts": 2, "member": {**MEMBER, "rank": rank}}, "x") for rank in (0, 1))
    ] == [False, True]


@pytest.mark.parametrize(
    ("written", "what"),
    [
        (2, "distributed: 2 is no mapping. Write it as {hosts: 2}."),
        ({}, "distributed.hosts: nothing is no whole number. Take one from 2 to 64."),
        ({"hosts": 1}, "distributed.hosts: 1 is out of bounds. Take a whole number from 2 to 64."),
        ({"host": 2}, "distributed.host: there is no such setting. Did you mean hosts? Known are"),
        (
            {"hosts": 2, "pipeline_parallel": 4},
            "distributed.pipeline_parallel: 4 stages do not go on 2 hosts: each has one. Set it to 2,",
        ),
        ({"hosts": 2, "master_port": 80}, "distributed.master_port: 80 is out of bounds."),
        ({"hosts": 2, "member": {"rank": 0}}, "distributed.member: it is none that inventory_check decided."),
        ({"hosts": 2, "member": {**MEMBER, "rank": 2}}, "distributed.member.rank: 2 is out of bounds."),
        ({"hosts": 2, "member": {**MEMBER, "address": "gpu01"}}, "distributed.member.address: 'gpu01' is no IP"),
    ],
)
def test_what_is_written_wrong_is_said_with_its_remedy(written: Any, what: str) -> None:
    assert refusal(distributed=written).startswith(f"vllm_stack_models[0].{what}")


def test_each_host_would_find_another_length() -> None:
    assert "max_model_len: each host of a model over several would find another length." in refusal(
        max_model_len="auto"
    )


def test_the_group_is_as_many_hosts_as_are_asked_for() -> None:
    assert rule_of(LARGE, "x") == PlacementRule(hosts=2)
    assert rule_of({**LARGE, "placement": {"label": "rack_a"}}, "x") == PlacementRule(hosts=2, label="rack_a")
    assert rule_of({**LARGE, "placement": 2}, "x") == PlacementRule(hosts=2)
    assert "placement: 4 hosts are asked for, and distributed spreads the model over 2." in refusal(placement=4)


@pytest.mark.parametrize(
    ("port", "whose"),
    [(8001, "large's"), (8002, "small's"), (8101, "that of large's surge instance"), (9000, "gateway_port")],
)
def test_the_port_where_hosts_meet_is_nobody_elses(port: int, whose: str) -> None:
    models = [
        {**LARGE, "distributed": {"hosts": 2, "master_port": port}},
        {"name": "small", "model": "o/s", "port": 8002},
    ]
    with pytest.raises(FleetError) as refused:
        parse_models(models, PortRules({9000: "gateway_port"}, 100))
    assert str(refused.value).startswith(f"vllm_stack_models[0].distributed.master_port: {port} is {whose} already.")


def test_two_groups_of_one_host_meet_at_two_ports() -> None:
    other = {**LARGE, "name": "other", "port": 8002}
    with pytest.raises(FleetError) as refused:
        parse_models([LARGE, other])
    assert "[1].distributed.master_port: 29501 is that of vllm_stack_models[0] already." in str(refused.value)
    parse_models([LARGE, {**other, "distributed": {"hosts": 2, "master_port": 29502}}])
