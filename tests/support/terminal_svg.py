# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A recorded run as a picture: the lines that matter, each beside the time at which it stood there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from ansible_collections.gpuserve.fleet.tests.support.recording import COLUMNS

FONT_SIZE, ADVANCE, LEADING, MARGIN, CLOCK = 12, 7.3, 17, 14, 48
INK, DIM, GROUND = "#d8dee4", "#8b949e", "#16191d"
# What ansible colours its lines with, by the last number of the escape sequence.
COLOURS = {"31": "#ff7b72", "32": "#7ee787", "33": "#e3b341", "34": "#79c0ff", "35": "#d2a8ff", "36": "#76e3ea"}
_ESCAPE = re.compile(r"\x1b\[([0-9;]*)m")
LEFT_OUT = "·  ·  ·"


def plain(line: str) -> str:
    """Return a line without its colours."""
    return _ESCAPE.sub("", line)


def cut(lines: Sequence[tuple[float, str]], begins: str, ends: str, kept: str) -> list[tuple[float, str] | None]:
    """Return what comes before the first line that `begins` finds, what comes from the first that `ends` finds, and what `kept`
    finds between both; None stands for what is left out."""
    words = [plain(line) for _seconds, line in lines]
    first = next((place for place, line in enumerate(words) if re.search(begins, line)), len(words))
    last = next((place for place, line in enumerate(words) if re.search(ends, line)), len(words))
    shown: list[tuple[float, str] | None] = []
    for place, line in enumerate(lines):
        if place < first or place >= last or re.search(kept, words[place]):
            shown.append(line)
        elif shown and shown[-1] is not None:
            shown.append(None)
    return shown


def draw(shown: Sequence[tuple[float, str] | None], title: str) -> str:
    """Return the picture as SVG."""
    width = round(2 * MARGIN + CLOCK + COLUMNS * ADVANCE)
    height = 2 * MARGIN + LEADING * len(shown)
    rows, before = [], ""
    for place, entry in enumerate(shown):
        y = MARGIN + LEADING * place + FONT_SIZE
        if entry is None:
            rows.append(f'  <text x="{MARGIN + CLOCK}" y="{y}" fill="{DIM}">{LEFT_OUT}</text>')
            continue
        clock = f"{int(entry[0]) // 60}:{int(entry[0]) % 60:02}"
        if clock != before:
            rows.append(f'  <text x="{MARGIN}" y="{y}" fill="{DIM}">{clock}</text>')
        before = clock
        if plain(entry[1]).strip():
            rows.append(f'  <text x="{MARGIN + CLOCK}" y="{y}" xml:space="preserve">{_coloured(entry[1])}</text>')
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}"',
            f'  font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="{FONT_SIZE}" fill="{INK}">',
            f'  <rect width="{width}" height="{height}" rx="8" fill="{GROUND}"/>',
            *rows,
            "</svg>",
            "",
        ]
    )


def _coloured(line: str) -> str:
    """Return a line's text with a tspan for each stretch that has a colour."""
    drawn, colour = "", ""
    for place, part in enumerate(_ESCAPE.split(line)):
        if place % 2:
            colour = COLOURS.get(part.split(";")[-1], "")
        elif part:
            drawn += f'<tspan fill="{colour}">{escape(part)}</tspan>' if colour else escape(part)
    return drawn
