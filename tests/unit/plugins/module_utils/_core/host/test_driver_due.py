# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is to do for a driver: nothing leaves all tasks out, anything at all has each of them judge for itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_due import Due, Found, due
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_plan import Plan
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_request import Choice
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_state import Decision

CHOICE = Choice("cuda_repo", 595, "open")
NOTHING = Plan((), (), False)
WORKS = Decision("none", "driver 595.84.01 is loaded, on disk and in the library")
FOUND = Found(nvml=0, devices=1)


def test_a_driver_as_it_should_be_has_nothing_to_do() -> None:
    assert due(CHOICE, NOTHING, WORKS, FOUND, require_card=True) == ()
    # NVML is not asked where nobody wants the driver verified.
    assert due(CHOICE, NOTHING, WORKS, Found(), require_card=True) == ()


@pytest.mark.parametrize(
    ("found", "what"),
    [
        (replace(FOUND, has_other_source=True), "source"),
        (replace(FOUND, pin_in_place=False), "pin"),
        (replace(FOUND, nouveau=True), "nouveau"),
        (replace(FOUND, persistence_in_place=False), "persistence"),
        (replace(FOUND, persistence_enabled=False), "persistence"),
        (replace(FOUND, nvml=18), "driver"),
        (replace(FOUND, devices=0), "driver"),
    ],
)
def test_what_surrounds_the_driver_is_due(found: Found, what: Due) -> None:
    assert due(CHOICE, NOTHING, WORKS, found, require_card=True) == (what,)


def test_packages_and_headers_are_due() -> None:
    for plan in (Plan((), (), True), Plan((), ("linux-headers-amd64",), False)):
        assert due(CHOICE, plan, WORKS, FOUND, require_card=True) == ("packages",)


@pytest.mark.parametrize("action", ["module_reload", "reboot", "fail"])
def test_a_driver_that_does_not_work_is_due_whatever_is_installed(action: str) -> None:
    decision = Decision(action, "why", next_boot="the next boot takes kernel 7")
    assert due(CHOICE, NOTHING, decision, FOUND, require_card=True) == ("driver", "next_boot")


def test_a_host_without_a_card_is_due_only_where_one_is_required() -> None:
    assert due(CHOICE, NOTHING, WORKS, replace(FOUND, devices=0), require_card=False) == ()


def test_a_driver_that_stays_the_host_s_has_neither_pin_nor_source() -> None:
    found = replace(FOUND, has_other_source=True, pin_in_place=False)
    assert due(replace(CHOICE, source="host"), NOTHING, WORKS, found, require_card=True) == ()
    assert due(replace(CHOICE, source="distro"), NOTHING, WORKS, found, require_card=True) == ("source", "pin")
