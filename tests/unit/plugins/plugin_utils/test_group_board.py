# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the hosts of a group tell each other, as the controller keeps it: who has come, what is to be started, what is of the past."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.plugin_utils.group_board import Board

GROUP = "large@192.0.2.1:29501"
NEWS = {
    "attempt": 1,
    "parts": {GROUP: {"rank": 0, "stage": "proved", "progress": 0, "reason": "it's"}},
    "is_done": True,
}


def part(rank: int, *, settled: bool = False) -> dict[str, dict[str, Any]]:
    return {"large": {"group": GROUP, "rank": rank, "hosts": 2, "settled": settled}}


def brought(board: Board) -> dict[str, Any]:
    """What the host's bring-up reads, by the command that its shell gets."""
    words = shlex.split(board.command("/it's a file"))
    assert words[:4] == ["(umask", "077;", "printf", "%s"] and words[-2:] == ["/it's a file.new", "/it's a file;"]
    return dict(json.loads(words[4]))


def test_hosts_wait_for_each_other_and_start_together(tmp_path: Path) -> None:
    one = Board(tmp_path / "b", "gpu1", part(0, settled=True))
    assert one.missing() == {"large": (1, 2)}
    # Who is of another group is not waited for.
    Board(tmp_path / "b", "gpu3", {"wide": {**part(0)["large"], "group": "wide@192.0.2.3:29501"}})
    assert one.missing() == {"large": (1, 2)}
    two = Board(tmp_path / "b", "gpu2", part(1))
    assert one.missing() == two.missing() == {}
    assert one.anew() == two.anew() == ["large"], "a part that has to start takes the others with it"


def test_parts_that_all_can_stay_are_left_alone(tmp_path: Path) -> None:
    one, two = (Board(tmp_path, f"gpu{rank}", part(rank, settled=True)) for rank in (0, 1))
    assert one.anew() == two.anew() == []
    # The first one has ended before the second one looked.
    one.end()
    assert two.missing() == {} and two.anew() == []


def test_what_one_tells_the_others_are_brought(tmp_path: Path) -> None:
    one, two = (Board(tmp_path / "b", f"gpu{rank}", part(rank)) for rank in (0, 1))
    waiting = {"rank": 0, "stage": "waiting", "progress": 0, "reason": ""}
    assert brought(two) == {"gpu0": {"attempt": 0, "parts": {GROUP: waiting}, "is_done": False, "has_ended": False}}
    one.tell(json.dumps(NEWS))
    assert brought(two) == {"gpu0": {**NEWS, "has_ended": False}}
    one.end()
    assert brought(two)["gpu0"]["has_ended"] is True


def test_one_that_cannot_begin_is_told_at_once(tmp_path: Path) -> None:
    Board(tmp_path, "gpu1", part(0), "its image is not on the host.").end()
    two = Board(tmp_path, "gpu2", part(1))
    assert two.missing() == {} and two.refused() == {"gpu1": "its image is not on the host."}


def test_a_task_of_the_same_run_before_is_the_past(tmp_path: Path) -> None:
    for rank in (0, 1):
        Board(tmp_path, f"gpu{rank}", part(rank), "no").missing()
    one, two = (Board(tmp_path, f"gpu{rank}", part(rank), "no") for rank in (0, 1))
    assert one.missing() == two.missing() == {}
    one.end()
    two.end()
    again = Board(tmp_path, "gpu0", part(0))
    assert again.missing() == {"large": (1, 2)} and again.refused() == {} and again.command("/p").count("attempt") == 0
    Board(tmp_path, "gpu1", part(1))
    assert again.missing() == {} and again.refused() == {}
