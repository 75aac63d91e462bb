# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words that people mean: YAML's for true and false, and the known word that is most like one."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spelling import meant, nearest
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.yaml_words import choice, truth


@pytest.mark.parametrize("word", [True, 1, "true", "Yes", " on ", "y", "T", "1"])
def test_yes(word: Any) -> None:
    assert truth(word) is True


@pytest.mark.parametrize("word", [False, 0, "false", "No", "OFF ", "n", "f", "0"])
def test_no(word: Any) -> None:
    assert truth(word) is False


@pytest.mark.parametrize("word", [None, "", "maybe", 2, [], "truee"])
def test_neither(word: Any) -> None:
    assert truth(word) is None


@pytest.mark.parametrize(
    ("value", "choices", "chosen"),
    [
        ("files", ("off", "files"), "files"),
        # YAML 1.1 reads an unquoted off as false.
        (False, ("off", "files"), "off"),
        ("no", ("off", "files"), "off"),
        (True, ("on", "off"), "on"),
        (True, ("off", "files"), "True"),
        # Where two are meant, none is.
        (False, ("off", "no"), "False"),
        (" off ", ("off",), "off"),
        ("else", ("off", "on"), "else"),
    ],
)
def test_a_choice_that_yaml_read_as_truth(value: Any, choices: tuple[str, ...], chosen: str) -> None:
    assert choice(value, choices) == chosen


@pytest.mark.parametrize(
    ("word", "near"), [("balancd", "balanced"), ("BALANCED", "balanced"), ("auto", "auto"), ("x", ""), ("", "")]
)
def test_the_word_that_was_meant(word: str, near: str) -> None:
    known = ("conservative", "balanced", "aggressive", "auto")
    assert nearest(word, known) == near
    assert meant(word, known) == (f"Did you mean {near}? " if near else "")


def test_how_like_it_has_to_be() -> None:
    assert nearest("abcdefgxyz", ["abcdefghij"]) == "abcdefghij"
    assert nearest("abcdefwxyz", ["abcdefghij"]) == ""
    assert nearest("abcdefwxyz", ["abcdefghij"], 0.6) == "abcdefghij"
