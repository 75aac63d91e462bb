# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of dockerd by name and type: what it knows is taken, and what it could not read is said."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.daemon_options import mistakes


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bip", "10.1.0.1/24"),
        ("bridge-accept-fwmark", "0x1/0x3"),
        ("cpu-rt-runtime", 950000),
        ("data-root", "/srv/docker"),
        ("default-gateway", "10.1.0.254"),
        ("default-gateway-v6", "fd00::1"),
        ("dns", ["192.0.2.53"]),
        ("exec-root", "/run/docker"),
        ("features", {"cdi": True}),
        ("fixed-cidr", "10.1.0.0/25"),
        ("insecure-registries", ["registry.example.org:5000"]),
        ("ip", "127.0.0.1"),
        ("live-restore", True),
        ("userns-remap", "default"),
    ],
)
def test_what_people_set_is_taken_and_of_no_other_type(name: str, value: Any) -> None:
    assert list(mistakes({name: value}, "docker_engine_options")) == []
    other: Any = 5 if not isinstance(value, int) or isinstance(value, bool) else "5"
    (said,) = mistakes({name: other}, "docker_engine_options")
    assert str(said).startswith(f"docker_engine_options.{name}: ")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"features": {"cdi": "true"}}, "docker_engine_options.features.cdi: "),
        ({"default-gatewey": "10.1.0.254"}, "Did you mean default-gateway?"),
        ({"log-level": "loud"}, "Take one of debug, info, warn, error, fatal."),
        ({"dns": ["192.0.2.53", 8]}, "docker_engine_options.dns[1]: "),
        ({"default-ulimits": {"nofile": 1024}}, "docker_engine_options.default-ulimits.nofile: "),
        ({"builder": "gc"}, "docker_engine_options.builder: "),
    ],
)
def test_what_dockerd_could_not_read_is_said(options: dict[str, Any], said: str) -> None:
    (found,) = mistakes(options, "docker_engine_options")
    assert said in str(found)
