# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/security.md names a test for each line of who reaches what, and each of those is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[3]
TEXT = (CHECKOUT / "docs" / "security.md").read_text(encoding="utf-8")
TABLE = TEXT.partition("## Who reaches what")[2].partition("\n\nWhat is known")[0]
LINES = [line for line in TABLE.splitlines() if line.startswith("| ") and not line.startswith("| who |")]
NAMED = sorted(set(re.findall(r"`((?:tests|molecule)/[^`]+)`", TEXT)))


def test_there_is_a_table() -> None:
    assert len(LINES) > 10


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.split("|")[1].strip())
def test_each_line_names_what_tries_it(line: str) -> None:
    assert re.search(r"`(tests/[^`]+::test_[a-z0-9_]+|molecule/[a-z_]+)`", line.split("|")[3]), line


@pytest.mark.parametrize("named", NAMED)
def test_what_is_named_is_there(named: str) -> None:
    path, _sign, test = named.partition("::")
    if named.startswith("molecule/"):
        assert (CHECKOUT / path / "verify.yml").is_file()
    else:
        assert re.search(rf"^def {test}\(", (CHECKOUT / path).read_text(encoding="utf-8"), re.MULTILINE), named


def test_whoever_finds_a_hole_is_told_where_to_go() -> None:
    assert "SECURITY.md" in TEXT and (CHECKOUT / "SECURITY.md").is_file()
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    assert "docs/security.md" in readme and "SECURITY.md" in readme


@pytest.mark.parametrize("page", ["airgap.md", "docker.md", "drivers.md", "signing-keys.md", "security.md"])
def test_no_page_shows_a_mirror_without_tls(page: str) -> None:
    text = (CHECKOUT / "docs" / page).read_text(encoding="utf-8")
    assert re.findall(r"http://(?!127\.0\.0\.1|localhost)[^\s`)]+", text) == []
    assert not re.search(r"insecure[_-]registries:", text)
