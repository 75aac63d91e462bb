# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What we write is YAML that a real parser reads back as it was."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.yaml_text import dump, scalar

# A dollar is doubled for Compose, and half of a surrogate pair is no text.
TEXT = st.text(max_size=30).filter(
    lambda text: ("$" not in text and text.isprintable()) or (text.isascii() and "$" not in text)
)
VALUES = st.recursive(
    st.one_of(st.booleans(), st.integers(-(10**12), 10**12), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=12,
)


@given(st.dictionaries(TEXT, VALUES, min_size=1, max_size=4))
def test_it_reads_back_as_it_was(value: dict[str, Any]) -> None:
    def plain(item: Any) -> Any:
        """Lists in lists are no part of a compose file."""
        if isinstance(item, list):
            return [str(entry) if isinstance(entry, list) else plain(entry) for entry in item]
        return {key: plain(entry) for key, entry in item.items()} if isinstance(item, dict) else item

    wanted = plain(value)
    assert yaml.safe_load(dump(wanted)) == wanted


def test_words_that_yaml_takes_for_something_else_are_quoted() -> None:
    assert yaml.safe_load(dump({"restart": "no", "a": "1", "b": "1:30", "c": "null", "d": "0x10"})) == {
        "restart": "no",
        "a": "1",
        "b": "1:30",
        "c": "null",
        "d": "0x10",
    }


def test_a_dollar_is_not_composes() -> None:
    assert dump({"a": "cost $HOME"}) == 'a: "cost $$HOME"\n'


@pytest.mark.parametrize("word", ["true", "false", "yes", "no", "on", "off", "null", "y", "n", "Yes", "NULL"])
def test_a_word_of_yaml_is_quoted(word: str) -> None:
    assert scalar(word) == f'"{word}"'


@pytest.mark.parametrize(("value", "text"), [({}, "{}"), ([], "[]"), (None, "null"), (True, "true"), (3, "3")])
def test_what_is_no_text(value: object, text: str) -> None:
    assert scalar(value) == text
    assert dump({"a": value}) == f"a: {text}\n"


@pytest.mark.parametrize(("sign", "text"), [("\x7f", "\\U0000007f"), ("\u2028", "\\U00002028"), ("é", "é")])
def test_what_no_screen_shows_is_written_as_its_number(sign: str, text: str) -> None:
    assert scalar(f"a {sign}") == f'"a {text}"'
