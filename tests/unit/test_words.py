# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One word a thing: a second word for what has a name is found here, before somebody greps for the first."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("docs", "molecule", "playbooks", "plugins", "roles", "tests")
KINDS = {".py", ".yml", ".j2", ".lua", ".md", ".mk", ".conf"}
# What each is called instead. Written apart, so that this table is not what it looks for.
WORDS = {
    "cu" + "res?": "remedy",
    "hi" + "nts?": "remedy",
    "do" + "ors?": "gateway",
    "stran" + "gers?": "foreign process",
    "thi" + "ef|thie" + "ves": "foreign process",
    "stand" + "[-_]ins?": "surge instance, or standby endpoint",
}
# In names only: as English words they are free. What apt calls "held", and a lock that is, are another thing.
NAMES = {"beside": "surge instance", "looks?": "probe", "held": "used"}
MEMORY = ("_core/models", "_core/plan", "_core/rollout", "_io/rollout")


def files() -> Iterator[Path]:
    """Walk over what we write ourselves."""
    yield from (path for path in ROOT.iterdir() if path.suffix in KINDS)
    for room in ROOMS:
        yield from (
            path for path in sorted((ROOT / room).rglob("*")) if path.suffix in KINDS and ".git" not in path.parts
        )


@pytest.mark.parametrize("word", WORDS)
def test_no_second_word_for_what_has_a_name(word: str) -> None:
    pattern = re.compile(rf"(?<![A-Za-z])({word})(?![A-Za-z])", re.IGNORECASE)
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]}"
        for path in files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (match := pattern.search(line))
    ]
    assert not found, f"say {WORDS[word]}: {found}"


@pytest.mark.parametrize("word", NAMES)
def test_names_in_code_are_the_terms(word: str) -> None:
    pattern = re.compile(rf"(^|_)({word})(_|$)", re.IGNORECASE)
    perhaps = re.compile(rf"(?<![A-Za-z])({word})(?![A-Za-z])", re.IGNORECASE)
    found = []
    for path in files():
        place = path.relative_to(ROOT).as_posix()
        if path.suffix != ".py" or (word == "held" and not any(room in place for room in MEMORY)):
            continue
        text = path.read_text(encoding="utf-8")
        # Reading the tokens of a file takes a hundred times as long as looking for the word.
        for token in tokenize.generate_tokens(io.StringIO(text).readline) if perhaps.search(text) else ():
            if token.type == tokenize.NAME and not token.string.startswith("test_") and pattern.search(token.string):
                found.append(f"{place}:{token.start[0]}: {token.string}")
    assert not found, f"say {NAMES[word]}: {found}"
