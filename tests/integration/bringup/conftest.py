# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The box of these tests, once for all of them, and what each test finds in it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from ansible_collections.gpuserve.fleet.tests.support import bringup
from ansible_collections.gpuserve.fleet.tests.support.bringup import PORTS, Stack
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
    box.clear()
    for name in PORTS:
        box.engine(name)
    return box


@pytest.fixture
def serving(stack: Stack) -> Stack:
    """The box with all three models proved."""
    assert stack.play().code == 0
    assert stack.serving() == sorted(PORTS)
    return stack
