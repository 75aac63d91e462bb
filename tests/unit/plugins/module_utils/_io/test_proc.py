# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's memory and its processes, from a /proc of files."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._io import proc

KIB = 1024


def put(root: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return str(root)


def test_meminfo_is_bytes_and_what_is_no_size_is_left_out(tmp_path: Path) -> None:
    text = "MemTotal:       64 kB\nMemAvailable:   48 kB\nHugePages_Total:   5\nActive(anon): 9 kB\n"
    assert proc.meminfo(put(tmp_path, {"meminfo": text})) == {"MemTotal": 64 * KIB, "MemAvailable": 48 * KIB}


def test_shared_pages_are_counted_by_share(tmp_path: Path) -> None:
    root = put(
        tmp_path,
        {
            "7/smaps_rollup": "00-ff ---p [rollup]\nRss:  900 kB\nPss:  100 kB\nPss_Anon: 70 kB\n",
            "8/smaps_rollup": "Pss:   20 kB\n",
            "9/smaps_rollup": "nothing of the kind\n",
        },
    )
    assert proc.proportional_bytes([7, 8, 9, 10], root) == 120 * KIB


def test_a_process_and_all_that_it_started_by_any_of_its_threads(tmp_path: Path) -> None:
    root = put(
        tmp_path,
        {"7/task/7/children": "8 9 ", "7/task/70/children": "10", "8/task/8/children": "11", "9/task/9/children": ""},
    )
    assert sorted(proc.process_tree(7, root)) == [7, 8, 9, 10, 11]
    assert proc.process_tree(99, root) == [99]


def test_what_was_read_is_rchar_of_those_that_are_there(tmp_path: Path) -> None:
    root = put(
        tmp_path,
        {"7/io": "rchar: 100\nwchar: 7\nread_bytes: 5\n", "8/io": "rchar: 11\n", "9/io": "read_bytes: 3\n"},
    )
    assert proc.read_bytes([7, 8, 9, 10], root) == 111


def test_what_came_by_the_network_is_without_loopback(tmp_path: Path) -> None:
    text = (
        "Inter-|   Receive                            |  Transmit\n"
        " face |bytes    packets errs drop fifo frame compressed multicast|bytes\n"
        "    lo: 5000      10    0    0    0     0          0         0  5000\n"
        "  eth0: 300       3    0    0    0     0          0         0  900\n"
        "  ib0:44 1 0 0 0 0 0 0 1\n"
    )
    root = put(tmp_path, {"7/net/dev": text})
    assert proc.received_bytes(7, root) == 344
    assert proc.received_bytes(8, root) == 0


def test_the_name_of_a_process_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda _path, **_more: "\x1b[2Jok\n")
    assert proc.command_of(1) == "\\x1b[2Jok"
