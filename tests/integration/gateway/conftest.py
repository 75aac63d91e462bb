# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real gateway in front of stubs of engines: in the box of molecule's scenario `gateway`, or in a container on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from ansible_collections.gpuserve.fleet.tests.support.gateway.client import Gateway
from ansible_collections.gpuserve.fleet.tests.support.gateway.container import Container
from ansible_collections.gpuserve.fleet.tests.support.gateway.in_box import Box


@pytest.fixture(scope="session")
def gateway() -> Iterator[Gateway]:
    """The gateway of the scenario, or one of our own."""
    if "GPUSERVE_GATEWAY_HOST" in os.environ:
        yield Box(os.environ["GPUSERVE_GATEWAY_HOST"], os.environ["GPUSERVE_GATEWAY_BOX"])
        return
    with Container() as made:
        yield made
