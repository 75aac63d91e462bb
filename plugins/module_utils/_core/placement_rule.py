# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rule by which hosts are found for a model, as people write it: placement of its entry."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spelling import meant
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import whole_number

EVERY = "every"
MOST_HOSTS = 10_000
# What Ansible takes for the name of a group, and what people put on a sticker.
_LABEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")
_SETTINGS = ("hosts", "label", "spread")


@dataclass(frozen=True)
class PlacementRule:
    """On how many hosts a model is served (None: on every one), which label they bear, over which groups they are spread."""

    hosts: int | None = None
    label: str = ""
    spread: tuple[str, ...] = ()

    @property
    def is_everywhere(self) -> bool:
        """Whether every host that lists the model serves it."""
        return self.hosts is None and not self.label


EVERYWHERE = PlacementRule()


def parse(value: Any, where: str) -> PlacementRule:
    """Return the rule as written: every, a number of hosts, or hosts, label and spread below it."""
    if value is None or value == EVERY:
        return EVERYWHERE
    if not isinstance(value, Mapping):
        return PlacementRule(_hosts(value, where))
    for setting in value:
        if setting not in _SETTINGS:
            fail(
                f"{where}.{setting}",
                "there is no such setting.",
                f"{meant(str(setting), _SETTINGS)}Known are {', '.join(_SETTINGS)}.",
            )
    rule = PlacementRule(
        hosts=_hosts(value.get("hosts", EVERY), f"{where}.hosts"),
        label=_label(value["label"], f"{where}.label") if value.get("label") is not None else "",
        spread=_spread(value.get("spread"), f"{where}.spread"),
    )
    if rule.spread and rule.hosts is None:
        fail(f"{where}.spread", "every host serves the model: there is nothing to spread.", "Say how many with hosts.")
    return rule


def _hosts(value: Any, where: str) -> int | None:
    if value == EVERY:
        return None
    whole = whole_number(value)
    if whole is None or not 1 <= whole <= MOST_HOSTS:
        fail(where, f"{repr(value)[:60]} is no number of hosts.", "Write every, or a whole number from 1 up.")
    return whole


def _label(value: Any, where: str) -> str:
    if not isinstance(value, str) or not _LABEL.fullmatch(value):
        fail(where, f"{repr(value)[:60]} is no label.", "Write a group of the inventory, or a word of gpuserve_labels.")
    return value


def _spread(value: Any, where: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        fail(where, "it must be a list of groups.", "Write it as [rack_a, rack_b].")
    groups = tuple(_label(group, where) for group in value)
    if len(set(groups)) < len(groups):
        fail(where, "it names a group twice.", "Name each once.")
    return groups


def labels(value: Any, where: str) -> tuple[str, ...]:
    """Return the labels of a host as written in gpuserve_labels."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        fail(where, f"{repr(value)[:60]} is no list.", "Write it as [big-disk, quiet].")
    return tuple(_label(label, where) for label in value)
