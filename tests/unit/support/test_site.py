# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The docs site: every hand-written page is in it, and what the tools leave out for keyboards and screen readers is put in."""

from __future__ import annotations

import re
from pathlib import Path

from ansible_collections.gpuserve.fleet.tests.support.site import build


def test_every_page_is_reached_from_the_first(tmp_path: Path) -> None:
    build.lay_out(tmp_path)
    index = (tmp_path / "index.md").read_text(encoding="utf-8")
    listed = [re.sub(r".*<(.+)>", r"\1", line) for line in index.splitlines() if line and line[0] not in "`:"]
    pages = {path.relative_to(tmp_path).with_suffix("").as_posix() for path in tmp_path.rglob("*.md")} - {"index"}
    assert sorted(pages - set(listed)) == []
    assert [page for page in pages if listed.count(page) != 1] == []


def test_a_page_that_nobody_listed_is_at_the_end() -> None:
    assert build.with_all("docs/a\nB <docs/b>\n", ["docs/a", "docs/b"]) == "docs/a\nB <docs/b>\n"
    assert build.with_all("docs/a\n", ["docs/a", "docs/new"]).endswith("\n\ndocs/new\n```\n")


def test_links_to_folders_of_the_repository_lead_to_the_site_s_own_pages() -> None:
    text = "[modules](docs/modules) and [roles](docs/roles)\n```mermaid\na --> b\n```\n"
    assert build.for_the_site(text) == (
        "[modules](reference/index) and [roles](reference/index)\n```text\na --> b\n```\n"
    )


def test_the_pages_are_laid_out_as_links_between_them_say(tmp_path: Path) -> None:
    build.lay_out(tmp_path)
    for name in (
        "README.md",
        "docs/gateway.md",
        "docs/picture.svg",
        "docs/inventory-sample.yml",
        "conf.py",
        "index.md",
    ):
        assert (tmp_path / name).is_file(), name
    assert not (tmp_path / "docs/modules").exists()


def test_a_keyboard_reaches_what_scrolls_and_a_reader_knows_headings() -> None:
    page = '<p class="caption" role="heading"><pre><a aria-role="button"><div class="table-wrapper docutils">'
    made = build.accessible(page)
    assert made == (
        '<p class="caption" role="heading" aria-level="2"><pre tabindex="0"><a role="button">'
        '<div tabindex="0" class="table-wrapper docutils">'
    )
    assert build.accessible(made) == made


def test_a_page_has_one_table_of_contents() -> None:
    text = "Title\n=====\n\n.. contents::\n   :local:\n   :depth: 1\n\nText\n"
    assert build.without_contents(text) == "Title\n=====\n\n\nText\n"
