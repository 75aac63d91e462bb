# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the client's container is started, and whether it has a way to an engine on a socket."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.benchmark.client import Engine
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.benchmark import client

ON_A_PORT = Engine("qwen", "vllm-qwen", "vllm@sha256:0", "Qwen/Qwen2.5-3B-Instruct", ())
ON_A_SOCKET = replace(ON_A_PORT, socket=True)


def started(engine: Engine, through_gateway: bool = False) -> list[str]:
    return client.command("docker", engine, "benchmark", ["vllm", "bench"], through_gateway)


def test_only_a_client_that_asks_an_engine_on_its_socket_has_a_way_to_it() -> None:
    shell = started(ON_A_SOCKET)[started(ON_A_SOCKET).index("-c") + 1]
    assert shell.startswith("python3 -c ") and "/run/gpuserve/engine/http 8000 & [ ! -f" in shell
    assert "container:vllm-qwen" in started(ON_A_SOCKET)
    for other in (started(ON_A_PORT), started(ON_A_SOCKET, through_gateway=True)):
        assert "asyncio" not in " ".join(other)
