# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts of every playbook's first play, which are read where processes of tasks are forked."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ansible_collections.gpuserve.fleet.plugins.filter.play_hosts import play_hosts
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import compiled_templates, payloads, task_processes

COLLECTION = Path(__file__).parents[4]


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """What is to be done after a fork, and what processes would share; nothing of it is done, here."""
    found: list[object] = []

    def note(*, after_in_child: object) -> None:
        found.append(after_in_child)

    monkeypatch.setattr(os, "register_at_fork", note)
    monkeypatch.setattr(compiled_templates, "share", lambda folder: found.append(folder.name))
    monkeypatch.setattr(payloads, "remember", lambda: found.append("payloads"))
    task_processes.prepare.cache_clear()
    yield found
    task_processes.prepare.cache_clear()


def test_patterns_come_in_one_list_without_empty_ones(registered: list[object]) -> None:
    assert play_hosts(["gpu_hosts", ["a", ["b"]], "", [], "localhost"]) == ["gpu_hosts", "a", "b", "localhost"]


def test_a_fork_leaves_the_memory_of_its_parent_alone_and_is_told_so_once(registered: list[object]) -> None:
    play_hosts(["a"])
    play_hosts(["b", ["c"]])
    assert registered == ["gpuserve-templates", "payloads", gc.freeze]


def test_the_first_play_of_every_playbook_is_read_by_it() -> None:
    (play,) = yaml.safe_load((COLLECTION / "playbooks" / "inventory_check.yml").read_text())
    assert play["hosts"].endswith("| gpuserve.fleet.play_hosts }}")
