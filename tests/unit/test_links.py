# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links between the pages lead somewhere: to a file that is there, and to a heading of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

COLLECTION = Path(__file__).parents[2]
PAGES = sorted([*COLLECTION.glob("*.md"), *COLLECTION.glob("docs/**/*.md"), *COLLECTION.glob("roles/*/README.md")])
_LINK = re.compile(r"\]\(([^()\s]*(?:\([^()]*\)[^()\s]*)*)\)|\b(?:href|src)=\"([^\"]+)\"")
_FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_ELSEWHERE = ("http://", "https://", "mailto:")


def links(text: str) -> Iterator[str]:
    """Return what a page links to and shows, code aside."""
    prose = re.sub(r"`[^`\n]*`", "", _FENCED.sub("", text))
    yield from (one or other for one, other in _LINK.findall(prose))


def anchors(text: str) -> set[str]:
    """Return the names of a page's headings as GitHub makes them, and those that it names itself."""
    found = set(re.findall(r"\b(?:id|name)=\"([^\"]+)\"", text))
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", _FENCED.sub("", text), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        slug = re.sub(r"[^\w\- ]", "", plain).strip().replace(" ", "-")
        number = 0
        while (name := f"{slug}-{number}" if number else slug) in found:
            number += 1
        found.add(name)
    return found


def broken(page: Path) -> list[str]:
    """Return the links of a page that lead nowhere."""
    wrong = []
    for link in links(page.read_text(encoding="utf-8")):
        if link.startswith(_ELSEWHERE):
            continue
        name, _sign, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (
            anchor and target.suffix == ".md" and anchor not in anchors(target.read_text(encoding="utf-8"))
        ):
            wrong.append(link)
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(COLLECTION)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert broken(page) == []


def test_a_link_to_nowhere_is_seen(tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text("# One heading\n## `code`, and more\n## One heading\n")
    page = tmp_path / "a.md"
    page.write_text(
        "[a](b.md#one-heading) [a](b.md#one-heading-1) [b](b.md#code-and-more) [c](b.md#gone) [d](c.md) [e](#here)\n"
        "`[f](none.md)` https://x.invalid [g](https://x.invalid/y)\n```\n[h](none.md)\n```\n# Here\n"
    )
    assert broken(page) == ["b.md#gone", "c.md"]
