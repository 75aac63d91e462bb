# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from ansible_collections.gpuserve.fleet.tests.support import first_pages, recording, terminal_svg
from ansible_collections.gpuserve.fleet.tests.support.lab import answers

GREEN = "\x1b[0;32mok\x1b[0m <b>"


def test_what_was_recorded_reads_back_without_this_machine_s_folders() -> None:
    lines = [(0.04, f"in {recording.CHECKOUT}/site.yml"), (61.26, f"{Path.home()}/x {GREEN}")]
    text = recording.cast(lines)
    assert json.loads(text.splitlines()[0])["version"] == 2
    assert recording.read(text) == [(0.0, "in ~/gpuserve.fleet/site.yml"), (61.3, f"~/x {GREEN}")]


def test_lines_that_nobody_asked_for_become_one_mark() -> None:
    words = ["first", "", "begins", "x", "y", "\x1b[32mkept\x1b[0m", "z", "ends", "last"]
    lines = [(n * 1.0, word) for n, word in enumerate(words)]
    shown = [entry and entry[1] for entry in terminal_svg.cut(lines, "^begins", "^ends", "^kept$")]
    assert shown == ["first", "", None, "\x1b[32mkept\x1b[0m", None, "ends", "last"]
    assert terminal_svg.cut(lines, "never", "never", "never") == lines


def test_the_picture_keeps_colours_blanks_and_each_time_once() -> None:
    svg = terminal_svg.draw([(5, GREEN), (5.4, "  same second"), None, (65, "later")], "a <run>")
    root = ET.fromstring(svg)
    assert root.get("aria-label") == "a <run>"
    texts = ["".join(element.itertext()) for element in root.iter() if element.tag.endswith("text")]
    assert texts == ["0:05", "ok <b>", "  same second", terminal_svg.LEFT_OUT, "1:05", "later"]
    assert '<tspan fill="#7ee787">ok</tspan> &lt;b&gt;' in svg


@pytest.fixture
def shown() -> str:
    return "\n".join(
        terminal_svg.plain(entry[1]) if entry else terminal_svg.LEFT_OUT for entry in first_pages.demo_lines()
    )


def test_the_demonstration_s_picture_shows_a_real_run_from_its_first_line_to_how_to_stop(shown: str) -> None:
    opening = (recording.CHECKOUT / "mk/demo.txt").read_text(encoding="utf-8").splitlines()
    assert shown.splitlines()[0] == opening[0]
    assert answers.QUESTION in shown and answers.ANSWER in shown
    assert re.search(rf"nearest +0\.\d\d  {re.escape(answers.NEAREST)}", shown)
    assert "make demo-down" in shown
    assert max(len(line) for line in shown.splitlines()) <= recording.COLUMNS


def test_no_folder_of_the_machine_it_was_recorded_on_is_in_it() -> None:
    text = first_pages.DEMO_CAST.read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w.~-])/(root|home|work|tmp)/", text)
