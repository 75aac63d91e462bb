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


@pytest.mark.parametrize(
    ("numbers", "action", "fatal"),
    [
        ((8, 11, 13, 31, 32, 43, 45, 68, 69, 94), xid.Action.RESTART_APP, False),
        ((46, 48, 61, 62, 64, 74, 95, 109, 110, 119, 120, 140, 143, 154, 158), xid.Action.RESET_GPU, True),
        ((38, 79), xid.Action.RESTART_HOST, True),
        ((63, 92, 121), xid.Action.NOTHING, False),
    ],
)
def test_what_each_number_asks_for(numbers: tuple[int, ...], action: xid.Action, fatal: bool) -> None:
    found = {number for number, meaning in xid.MEANINGS.items() if (meaning.action, meaning.fatal) == (action, fatal)}
    assert found == set(numbers)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (31, "a program reached for memory that it does not have"),
        (43, "a program's work was stopped by the driver"),
        (48, "a memory error that could not be corrected"),
        (63, "a bad piece of the card's memory is taken out of use at the next reset"),
        (79, "the card has fallen off the bus"),
        (119, "the card's system processor (GSP) does not answer"),
    ],
)
def test_what_the_numbers_that_come_most_mean(number: int, words: str) -> None:
    (event,) = xid.events([f"NVRM: Xid (PCI:0000:01:00): {number}, pid=1"])
    assert event.meaning.text == words


def test_cards_are_told_apart_whatever_the_case_of_their_address() -> None:
    found = xid.events(["NVRM: Xid (PCI:0000:AF:00): 13, a", "NVRM: Xid (0000:af:00): 13, b"])
    assert [(event.address, event.line[-1]) for event in found] == [("0000:af:00", "b")]


@pytest.mark.parametrize(
    ("what", "action"),
    [("Drain P2P", xid.Action.RESET_GPU), ("Drain and Reset", xid.Action.RESET_GPU), ("None.", xid.Action.NOTHING)],
)
def test_154_in_words_alone(what: str, action: xid.Action) -> None:
    (event,) = xid.events([f"NVRM: Xid (PCI:0000:01:00): 154, GPU recovery action changed from None to {what}"])
    assert event.meaning.action is action
