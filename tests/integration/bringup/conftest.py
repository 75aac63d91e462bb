# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The box of these tests, once for all of them, and what each test finds in it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import sockets
from ansible_collections.gpuserve.fleet.tests.support import bringup
from ansible_collections.gpuserve.fleet.tests.support.bringup import PORTS, SOCKETS, Stack
from ansible_collections.gpuserve.fleet.tests.support.lab import boxes

BOX = "bringup"


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Make the box and take it away in the end."""
    yield bringup.make(BOX, tmp_path_factory.mktemp("inventories"))
    if os.environ.get("GPUSERVE_KEEP") != "1":
        boxes.down(BOX)


@pytest.fixture
def stack(box: Stack) -> Stack:
    """The box with nothing on its card and no faults."""
    return cleared(box)


@pytest.fixture
def serving(box: Stack) -> Stack:
    """The box with all three models proved, as an earlier test left it where nothing of that has changed since."""
    return proved(box, PORTS)


@pytest.fixture
def on_sockets(box: Stack) -> Stack:
    """The same on sockets."""
    return proved(box, SOCKETS, vllm_stack_transport="socket")


def cleared(box: Stack) -> Stack:
    """Return the box with nothing on its card, and engines that shall behave."""
    box.clear()
    for name in PORTS:
        box.engine(name)
    return box


def proved(box: Stack, where: Mapping[str, int | str], **change: str) -> Stack:
    """Return the box with all three models there, from nothing if need be."""
    box.calm()
    for name in PORTS:
        box.engine(name)
    if not box.keeps(where):
        cleared(box)
        box.run("sh", "-c", f"rm -rf {sockets.ROOT}")
        run = box.play(**change)
        assert run.code == 0, run.text
        assert box.serving(where) == sorted(PORTS)
        box.keep(where)
    return box
