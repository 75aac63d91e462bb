# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Xid lines as the driver writes them, and what they come to."""

from __future__ import annotations

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.diagnose import xid

LOG = [
    "[  101.2] NVRM: GPU at PCI:0000:01:00: GPU-0a1b2c3d",
    "[  102.0] NVRM: Xid (PCI:0000:01:00): 31, pid=4711, name=VLLM::EngineCor, Ch 00000008, intr 00000000. MMU Fault",
    "[  103.0] NVRM: Xid (PCI:0000:02:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.",
    "[  104.0] NVRM: Xid (PCI:0000:01:00): 31, pid=4712, name=VLLM::EngineCor, Ch 00000009, intr 00000000. MMU Fault",
    "[  105.0] NVRM: Xid (0000:03:00): 777, something new",
]


def test_each_number_of_each_card_is_told_once_by_its_last_line() -> None:
    found = xid.events(LOG)
    assert [(event.address, event.number) for event in found] == [
        ("0000:01:00", 31),
        ("0000:02:00", 79),
        ("0000:03:00", 777),
    ]
    assert "pid=4712" in found[0].line and not found[0].meaning.fatal
    assert found[1].meaning.fatal and found[1].meaning.action is xid.Action.RESTART_HOST
    assert found[2].meaning is xid.UNKNOWN


@pytest.mark.parametrize(
    ("words", "action", "fatal"),
    [
        ("GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset)", xid.Action.RESET_GPU, True),
        ("GPU recovery action changed from 0x0 (None) to 0x2 (Node Reboot)", xid.Action.RESTART_HOST, True),
        ("GPU recovery action changed from 0x1 (GPU Reset) to 0x0 (None)", xid.Action.NOTHING, False),
        ("words that a later driver may find", xid.Action.RESET_GPU, True),
    ],
)
def test_154_names_what_the_card_needs(words: str, action: xid.Action, fatal: bool) -> None:
    (event,) = xid.events([f"NVRM: Xid (PCI:0000:01:00): 154, {words}"])
    assert (event.meaning.action, event.meaning.fatal) == (action, fatal)


def test_other_lines_of_the_driver_are_no_xid() -> None:
    assert xid.events(["NVRM: loading NVIDIA UNIX Open Kernel Module", "Xid is a word", ""]) == []
