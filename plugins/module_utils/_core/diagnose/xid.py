# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Xid errors, by which NVIDIA's driver reports of a card in the kernel's log: what each means and what NVIDIA advises first.

After NVIDIA's catalogue for Ampere and newer (docs.nvidia.com/deploy/xid-errors, its column of immediate actions), November 2026; not
compared with it line by line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Action(Enum):
    """NVIDIA's immediate action, as a sentence on this host."""

    NOTHING = "Nothing has to be done now; note how often it comes."
    RESTART_APP = (
        "The engine starts anew by itself; if it comes again, look at what it was asked for, and at its version."
    )
    RESET_GPU = "Stop what runs on the card, then `nvidia-smi --gpu-reset -i` on it, or reboot the host."
    RESTART_HOST = "Power the host off and on; if it comes again, look at slot, riser, power cables and temperature."
    REPLACE = "Reboot the host; if it comes again, the card has to be replaced: ask whoever sold it."


@dataclass(frozen=True)
class Meaning:
    """What a number stands for. `fatal`: nothing more is computed on that card until somebody acts."""

    text: str
    action: Action
    fatal: bool = False


MEANINGS = {
    8: Meaning("the card stopped processing", Action.RESTART_APP),
    11: Meaning("a corrupted stream of commands", Action.RESTART_APP),
    13: Meaning("a program's kernel failed on the card", Action.RESTART_APP),
    31: Meaning("a program reached for memory that it does not have", Action.RESTART_APP),
    32: Meaning("a corrupted stream of commands", Action.RESTART_APP),
    38: Meaning("the card's firmware failed", Action.RESTART_HOST, True),
    43: Meaning("a program's work was stopped by the driver", Action.RESTART_APP),
    45: Meaning("a program's work was cleaned up after another error", Action.RESTART_APP),
    46: Meaning("the card stopped processing", Action.RESET_GPU, True),
    48: Meaning("a memory error that could not be corrected", Action.RESET_GPU, True),
    61: Meaning("the card's own controller stopped", Action.RESET_GPU, True),
    62: Meaning("the card's own controller stopped", Action.RESET_GPU, True),
    63: Meaning("a bad piece of the card's memory is taken out of use at the next reset", Action.NOTHING),
    64: Meaning("a bad piece of the card's memory could not be taken out of use", Action.RESET_GPU, True),
    68: Meaning("the card's video decoder failed", Action.RESTART_APP),
    69: Meaning("a program used the card in a way that it does not know", Action.RESTART_APP),
    74: Meaning("the link between cards (NVLink) failed", Action.RESET_GPU, True),
    79: Meaning("the card has fallen off the bus", Action.RESTART_HOST, True),
    92: Meaning("many memory errors were corrected in a short time", Action.NOTHING),
    94: Meaning("a memory error that one program alone suffers from", Action.RESTART_APP),
    95: Meaning("a memory error that reached beyond one program", Action.RESET_GPU, True),
    109: Meaning("the card did not switch between programs in time", Action.RESET_GPU, True),
    110: Meaning("the card's protection stopped it", Action.RESET_GPU, True),
    119: Meaning("the card's system processor (GSP) does not answer", Action.RESET_GPU, True),
    120: Meaning("the card's system processor (GSP) failed", Action.RESET_GPU, True),
    121: Meaning("errors were corrected on the link to the processor", Action.NOTHING),
    140: Meaning("a memory error that could not be recovered from", Action.RESET_GPU, True),
    143: Meaning("the card could not be initialised", Action.RESET_GPU, True),
    154: Meaning("the driver says what the card needs now", Action.RESET_GPU, True),
    158: Meaning("the card's memory timed out", Action.RESET_GPU, True),
}
UNKNOWN = Meaning("an error whose number we do not know", Action.REPLACE)
_XID = re.compile(r"NVRM: Xid \((?:PCI:)?(?P<address>[0-9a-fA-F:.]+)\): (?P<number>\d+),? ?(?P<rest>.*)")
_NEEDS = re.compile(r"GPU recovery action changed .*?to (?P<what>.+?)\.?$")
# What Xid 154 names, as the driver writes it.
_NAMED = {
    "none": Action.NOTHING,
    "gpu reset": Action.RESET_GPU,
    "node reboot": Action.RESTART_HOST,
    "drain p2p": Action.RESET_GPU,
    "drain and reset": Action.RESET_GPU,
}


@dataclass(frozen=True)
class Event:
    """One line of the kernel's log that reports an Xid."""

    address: str
    number: int
    meaning: Meaning
    line: str


def events(lines: Iterable[str]) -> list[Event]:
    """Find the last report of each number on each card, in the order of their first ones."""
    found: dict[tuple[str, int], Event] = {}
    for line in lines:
        match = _XID.search(line)
        if match:
            address, number = match.group("address").lower(), int(match.group("number"))
            meaning = _by_name(match.group("rest")) if number == 154 else MEANINGS.get(number, UNKNOWN)
            found[address, number] = Event(address, number, meaning, line)
    return list(found.values())


def _by_name(rest: str) -> Meaning:
    named = _NEEDS.search(rest)
    what = re.sub(r"^0x\w+ \((.*)\)$", r"\1", named.group("what")).strip().lower() if named else ""
    action = _NAMED.get(what)
    if action is None:
        return MEANINGS[154]
    return Meaning(MEANINGS[154].text, action, action is not Action.NOTHING)
