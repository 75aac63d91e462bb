# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports: every part of a host keeps its own, and no surge instance takes a model's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import ports as port_rules
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.ports import PortRules, assign_ports, kept_ports

GATEWAY = PortRules.read({"gateway_port": 9000, "gateway_redirect_port": 0, "gateway_metrics_address": "9401"}, 1000)


def models(*ports: int | str | None) -> list[dict[str, object]]:
    return [{"name": f"m{index}", "port": port} for index, port in enumerate(ports)]


def test_a_port_of_another_part_is_refused_by_the_variable_that_sets_it() -> None:
    with pytest.raises(FleetError, match=r"vllm_stack_models\[0\].port: 9000 is that of gateway_port. Ports from 8001"):
        assign_ports(models(9000), GATEWAY)
    with pytest.raises(FleetError, match="9401 is that of gateway_metrics_address"):
        assign_ports(models(9401), GATEWAY)


def test_the_gateway_s_usual_port_is_free_where_it_listens_elsewhere() -> None:
    # 9000 - 1000: the surge instance of 8000 would meet the gateway.
    assert assign_ports(models(8010), GATEWAY) == [8010]
    with pytest.raises(FleetError, match="the surge instance of 8000 would listen on 9000, which is gateway_port"):
        assign_ports(models(8000), GATEWAY)
    assert assign_ports(models(8000), PortRules.read({"gateway_port": 9500}, 1000)) == [8000]


@pytest.mark.parametrize("ports", [(8001, 9001), (9001, 8001)])
def test_no_model_listens_where_another_s_surge_instance_would(ports: tuple[int, int]) -> None:
    with pytest.raises(FleetError, match=r"vllm_stack_models\[1\].port: .*surge instance of"):
        assign_ports(models(*ports), PortRules(surge_offset=1000))
    assert assign_ports(models(*ports), PortRules()) == list(ports)


def test_a_port_that_is_not_written_avoids_surge_ports() -> None:
    assert assign_ports(models(None, 9001, None), PortRules(surge_offset=1000)) == [8002, 9001, 8003]


def test_a_surge_port_beyond_the_last_is_known_before() -> None:
    rules = PortRules(surge_offset=1000)
    assert assign_ports(models(64535), rules) == [64535]
    with pytest.raises(FleetError, match=r"65536, beyond 65535\. Take a port up to 64535"):
        assign_ports(models(64536), rules)


def test_two_parts_on_one_port_are_refused() -> None:
    with pytest.raises(FleetError, match="gateway_redirect_port: 8000 is gateway_port already"):
        PortRules.read({"gateway_port": 8000, "gateway_redirect_port": 8000}, 0)


@pytest.mark.parametrize("value", ["x", -1, 65536, True, 80.5])
def test_what_is_no_port_is_named_by_its_variable(value: object) -> None:
    with pytest.raises(FleetError, match=r"gateway_port: .* is no port"):
        PortRules.read({"gateway_port": value}, 0)


@given(
    written=st.lists(st.one_of(st.none(), st.integers(7990, 9110)), max_size=8),
    offset=st.sampled_from([0, 1, 2, 1000]),
    taken=st.dictionaries(st.integers(8000, 8012), st.just("gateway_port"), max_size=3),
)
def test_what_is_assigned_meets_nobody(written: list[int | None], offset: int, taken: dict[int, str]) -> None:
    try:
        ports = assign_ports(models(*written), PortRules(taken, offset))
    except FleetError:
        return
    surges = {port + offset for port in ports} if offset else set()
    assert len(set(ports)) == len(ports)
    assert not set(ports) & (set(taken) | surges)
    assert not surges & set(taken)


def named(*names: str) -> list[dict[str, object]]:
    return [{"name": name} for name in names]


@pytest.mark.parametrize(
    ("now", "ports"),
    [
        ("bc", [8002, 8003]),  # the first one removed
        ("xabc", [8004, 8001, 8002, 8003]),  # one put before the others
        ("cab", [8003, 8001, 8002]),
        ("axc", [8001, 8004, 8003]),  # one renamed: what leaves still has its port
        ("xyz", [8004, 8005, 8006]),
    ],
)
def test_a_model_keeps_the_port_that_it_has(now: str, ports: list[int]) -> None:
    rules = PortRules.read({}, 1000, {"a": 8001, "b": 8002, "c": 8003})
    assert assign_ports(named(*now), rules) == ports


def test_what_is_written_goes_before_what_is_kept() -> None:
    rules = PortRules.read({}, 0, {"a": 8001, "b": 8002})
    assert assign_ports([{"name": "a"}, {"name": "b", "port": 8001}], rules) == [8003, 8001]
    assert assign_ports([{"name": "a", "port": 8009}, {"name": "b"}], rules) == [8009, 8002]


@pytest.mark.parametrize("port", [9400, 64536, 8400, 80, 70000, "x", None, True])
def test_a_port_that_can_t_be_kept_is_a_new_one(port: object) -> None:
    rules = PortRules.read({"gateway_port": 9400}, 1000, {"a": port})
    assert assign_ports(named("a"), rules) == [8001]


def test_a_kept_port_is_on_nobody_s_surge_port() -> None:
    rules = PortRules.read({}, 1000, {"a": 9001, "b": 8001})
    assert assign_ports([{"name": "a"}, {"name": "b", "port": 8001}], rules) == [8002, 8001]
    assert assign_ports(named("a", "b"), rules) == [9001, 8002]


def test_the_ports_of_a_host_are_those_of_its_containers_then_those_that_are_remembered() -> None:
    proved = {"services": [{"name": "a", "port": 8001}, {"name": "b", "port": "8002"}, {"name": "c", "port": 8003}]}
    assert kept_ports(proved) == {"a": 8001, "b": 8002, "c": 8003}
    # b was given another, and d has what was c's.
    assert kept_ports(proved, [["b", "8009"], ["d", "8003"]]) == {"b": 8009, "d": 8003, "a": 8001}


@pytest.mark.parametrize(
    "proved",
    [{}, {"services": None}, {"services": 5}, {"services": [5, None, {}, {"name": "a"}, {"name": 5, "port": 8001}]}],
)
def test_a_record_of_another_shape_keeps_nothing(proved: dict[str, object]) -> None:
    assert kept_ports(proved, [["a", "x"], ["", ""]]) == {}


@given(
    before=st.lists(st.sampled_from("abcdef"), unique=True),
    now=st.lists(
        st.tuples(st.sampled_from("abcdef"), st.one_of(st.none(), st.integers(8000, 8006))),
        unique_by=lambda one: one[0],
    ),
    offset=st.sampled_from([0, 1, 2, 1000]),
)
def test_ports_that_were_assigned_once_stay(before: list[str], now: list[tuple[str, int | None]], offset: int) -> None:
    had = dict(zip(before, assign_ports(named(*before), PortRules(surge_offset=offset)), strict=True))
    entries: list[dict[str, object]] = [{"name": name, "port": port} for name, port in now]
    try:
        ports = assign_ports(entries, PortRules(surge_offset=offset, kept=had))
    except FleetError:
        return
    written = {port for _name, port in now if port is not None}
    near = written | {port + way for port in written for way in (offset, -offset)}
    for (name, port), got in zip(now, ports, strict=True):
        assert port in (None, got)
        if port is None and name in had and had[name] not in near:
            assert got == had[name]
    # ... and a second run, in whatever order, changes nothing.
    again = PortRules(surge_offset=offset, kept=dict(zip([name for name, _port in now], ports, strict=True)))
    assert assign_ports(entries, again) == ports
    assert assign_ports(entries[::-1], again) == ports[::-1]


def test_a_port_that_is_off_is_taken_by_nobody() -> None:
    rules = PortRules.read({"gateway_port": 9000, "gateway_redirect_port": 0, "gateway_metrics_address": "0"}, 0)
    assert rules.taken == {9000: "gateway_port"}


def test_what_is_free_is_said_beyond_all_that_have_a_port() -> None:
    with pytest.raises(FleetError) as caught:
        assign_ports(models(8001, 8005, 8001))
    assert (caught.value.where, caught.value.what) == ("vllm_stack_models[2].port", "8001 is already m0's.")
    assert caught.value.remedy == "Ports from 8006 are free."
    # The port that is asked for twice is nobody's surge port either.
    with pytest.raises(FleetError) as caught:
        assign_ports(models(8001, 8001), PortRules(surge_offset=1))
    assert caught.value.remedy == "Ports from 8003 are free."


def test_the_last_ports_are_left_to_nobody_s_surge_instance() -> None:
    assert assign_ports(models(65534), PortRules(surge_offset=1)) == [65534]
    with pytest.raises(FleetError, match="65535 would listen on 65536, beyond 65535"):
        assign_ports(models(65535), PortRules(surge_offset=1))
    # One that is looked for stops before: from 65534 on there is room for one, and its surge instance.
    assert port_rules._next_free({}, PortRules(surge_offset=1), 65534) == 65534
    with pytest.raises(FleetError, match="no port from 65535 up is free"):
        port_rules._next_free({}, PortRules(surge_offset=1), 65535)
