# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that can't run the gateway, and who has its ports."""

from __future__ import annotations

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway.host import Facts, judge
from ansible_collections.gpuserve.fleet.tests.unit.plugins.module_utils._core.gateway.settings import gateway


def facts(**changed: object) -> Facts:
    return Facts.of({"has_compose": True, "kept_image": "image", **changed})


def test_ports_come_back_from_json_as_text() -> None:
    assert facts(listening={"8000": "caddy (pid 7)"}).listening == {8000: "caddy (pid 7)"}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"has_compose": False}, "Docker with Compose v2 does not answer here"),
        ({"listening": {"8000": "caddy (pid 7)"}}, "gateway_port: 8000 is already taken on this host by caddy (pid 7)"),
        ({"listening": {"9401": "caddy (pid 7)"}}, "gateway_metrics_address: 9401 is already taken"),
        (
            {"listening": {"8000": "caddy"}, "is_running": True, "listen": "0.0.0.0:18000"},
            "gateway_port: 8000 is already taken",
        ),
        ({"missing": ["/etc/ssl/ai.pem"]}, "gateway_tls: /etc/ssl/ai.pem is not on the host"),
    ],
)
def test_what_is_in_the_way_is_named(changed: dict[str, object], words: str) -> None:
    with pytest.raises(FleetError) as caught:
        judge(gateway(), facts(**changed))
    assert words in str(caught.value) and caught.value.remedy


@pytest.mark.parametrize(
    "changed",
    [
        {"listening": {"8000": "ours", "9401": "ours"}},
        {"listening": {"8000": "nginx (pid 7)"}, "is_running": True, "listen": "0.0.0.0:8000"},
        {"listening": {"8000": "nginx (pid 7)"}, "is_running": True, "listen": "[::]:8000 ipv6only=off"},
        {"listening": {"9999": "caddy"}},
    ],
)
def test_our_own_container_is_in_nobody_s_way(changed: dict[str, object]) -> None:
    judge(gateway(), facts(**changed))


def test_a_dry_run_before_docker_is_there_goes_on() -> None:
    judge(gateway(), facts(has_compose=False, missing=["/etc/ssl/ai.pem"]), check_mode=True)
