# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""README says the same in both languages, in the same order, and what it names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ansible_collections.gpuserve.fleet.plugins.plugin_utils import collection_variables

COLLECTION = Path(__file__).parents[2]
README, KOREAN = COLLECTION / "README.md", COLLECTION / "README.ko.md"
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def structure(path: Path) -> list[str]:
    """Return what a translation keeps: levels of headings, rows of tables, code without its comments, and links."""
    found, in_code = [], False
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            in_code = not in_code
            found.append(line)
        elif in_code:
            found.append(re.sub(r"\s+#.*", "", line))
        elif line.startswith("#"):
            found.append(line.split()[0])
        elif line.startswith("|"):
            found.append(f"a row of {line.count('|')}")
    return found


def test_both_languages_have_the_same_structure() -> None:
    assert structure(README) == structure(KOREAN)


def test_both_languages_link_to_the_same_pages() -> None:
    links = [sorted(set(LINK.findall(path.read_text(encoding="utf-8")))) for path in (README, KOREAN)]
    assert links[0] == links[1]


@pytest.mark.parametrize("path", [README, KOREAN], ids=lambda path: path.name)
def test_the_first_section_shows_the_recorded_demonstration(path: Path) -> None:
    first = path.read_text(encoding="utf-8").split("\n## ")[1]
    assert "make demo" in first
    assert re.search(r"^!\[[^]]{20,}\]\(docs/demo\.svg\)$", first, re.MULTILINE), "with words for who can't see it"


@pytest.mark.parametrize("path", [README, KOREAN], ids=lambda path: path.name)
def test_what_is_named_is_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for link in LINK.findall(text):
        assert (COLLECTION / link).exists(), link
    for playbook in re.findall(r"playbooks/[a-z_]+\.yml", text):
        assert (COLLECTION / playbook).exists(), playbook
    tags = {
        tag
        for name in ("site.yml", "tasks/serve.yml")
        for play in yaml.safe_load((COLLECTION / "playbooks" / name).read_text())
        for task in play.get("tasks", [play])
        for tag in task.get("tags", [])
    }
    assert all(f"`{tag}`" in text or f"--tags {tag}" in text for tag in tags - {"always"})


@pytest.mark.parametrize("path", [README, KOREAN], ids=lambda path: path.name)
def test_questions_name_what_is_there(path: Path) -> None:
    """Rules, variables and sentences that a row quotes are those that somebody really sees."""
    rows = [line for line in path.read_text(encoding="utf-8").split("\n## ")[-3].splitlines() if line.startswith("| ")]
    quoted = [words for row in rows for words in re.findall(r"`([^`]+)`", row)]
    known = collection_variables.known()
    sources = [
        *COLLECTION.glob("plugins/**/*.py"),
        *COLLECTION.glob("playbooks/*.yml"),
        COLLECTION / "docs/operations.md",
    ]
    code = "\n".join(source.read_text(encoding="utf-8") for source in sources)
    for words in quoted:
        name = words.split("=")[-1].split(":")[0] if words.startswith("-e") else words.split(":")[0]
        if re.fullmatch(r"(vllm_stack|gateway|gpuserve)_\w+", name):
            assert name in known, words
        elif re.fullmatch(r"[a-z]+(_[a-z]+)+", words):
            assert words in code, words
    said = {
        "no host of the inventory is in",
        "it is encrypted with ansible-vault",
        "is already",
        "a process that is not ours",
    }
    assert all(words in code for words in said)
    assert len(rows) >= 20


def test_the_sample_has_every_variable_and_sets_none() -> None:
    text = (COLLECTION / "docs/inventory-sample.yml").read_text(encoding="utf-8")
    assert yaml.safe_load(text) is None
    lines = set(text.splitlines())
    for path in COLLECTION.glob("roles/*/defaults/main.yml"):
        written = [line for line in path.read_text(encoding="utf-8").splitlines() if line and line[0] not in "#-"]
        assert [line for line in written if f"# {line}" not in lines] == [], path
