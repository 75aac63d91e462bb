# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where engines and gateway meet: paths that the kernel takes, behind a folder that is root's alone."""

from __future__ import annotations

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import sockets
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import addresses
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import SURGE_SUFFIX, parse_models


def test_the_longest_name_of_a_model_still_has_a_socket_for_its_surge_instance() -> None:
    longest = "x" * 63
    assert parse_models([{"name": longest, "model": "owner/name"}])[0].name == longest
    socket = sockets.path(longest + SURGE_SUFFIX)
    assert len(socket) <= sockets.LONGEST and sockets.is_path(socket)
    assert str(addresses.engine(sockets.endpoint(longest + SURGE_SUFFIX), "here")) == f"unix:{socket}"


def test_a_drain_file_is_named_like_its_endpoint_and_is_one_name() -> None:
    assert sockets.drain_name("127.0.0.1:8001") == "127.0.0.1:8001"
    name = sockets.drain_name(sockets.endpoint("qwen"))
    assert "/" not in name and name == "unix:_run_gpuserve_engines_sockets_qwen_http"


def test_after_a_boot_each_engine_finds_its_folder_and_nobody_else_gets_there() -> None:
    lines = sockets.at_boot(["yi", "qwen"]).splitlines()
    assert lines[1] == "d /run/gpuserve/engines 0700 root root -"
    assert [line.split()[1] for line in lines[3:]] == [sockets.folder("qwen"), sockets.folder("yi")]
    assert all(line.split()[1].startswith(sockets.ROOT) for line in lines[1:])
