# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports: every part of a host keeps its own, and no surge instance takes a model's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.ports import PortRules, assign_ports

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
