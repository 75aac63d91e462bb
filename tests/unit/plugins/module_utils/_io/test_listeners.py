# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who listens on this host: the kernel's own answer, and its tables, which must say the same."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.listeners import Listener
from ansible_collections.gpuserve.fleet.plugins.module_utils._io import listeners
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles

# By family and address, as the tables write them.
PLACES = [
    (socket.AF_INET, "127.0.0.1", "0100007F"),
    (socket.AF_INET, "0.0.0.0", "00000000"),
    (socket.AF_INET6, "::1", "0" * 24 + "01000000"),
    (socket.AF_INET6, "::", "0" * 32),
    (socket.AF_INET6, "::ffff:127.0.0.1", "0000000000000000FFFF00000100007F"),
]


@pytest.fixture(params=PLACES, ids=[place[1] for place in PLACES])
def listening(request: pytest.FixtureRequest) -> Iterator[Listener]:
    family, address, written = request.param
    with socket.socket(family) as line:
        try:
            line.bind((address, 0))
        except OSError:
            pytest.skip(f"this host has no {address}")
        line.listen()
        yield Listener(written, line.getsockname()[1], os.geteuid(), str(os.fstat(line.fileno()).st_ino))


def test_the_kernel_says_what_its_tables_say(listening: Listener) -> None:
    asked, tables = listeners.read(), listeners.read(HostFiles())
    assert listening in asked and listening in tables


def test_a_connection_is_no_listener() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        ports = {one.port for one in listeners.read()}
        assert server.getsockname()[1] in ports and client.getsockname()[1] not in ports


def test_its_tables_are_walked_only_where_the_kernel_cannot_be_asked(
    listening: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    walked: list[str] = []

    class Files(HostFiles):
        def read(self, name: str) -> str | None:
            walked.append(name)
            return super().read(name)

    monkeypatch.setattr(listeners, "HostFiles", Files)
    assert listening in listeners.read() and walked == []
    # A kernel without it, and a unit whose address families are restricted.
    monkeypatch.setattr(listeners, "_SOCK_DIAG", 31)
    assert listening in listeners.read() and walked == list(listeners.TABLES)


def test_an_answer_of_many_pieces_is_read_whole() -> None:
    with contextlib.ExitStack() as stack:
        ports = set()
        for _number in range(400):
            ports.add(stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1])
        assert ports <= {one.port for one in listeners.read()}
