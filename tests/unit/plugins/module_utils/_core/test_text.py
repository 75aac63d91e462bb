# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words from a host, shown as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.text import harmless


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        ("python3 -m vllm", "python3 -m vllm"),
        ("네모 モデル é 🙂", "네모 モデル é 🙂"),
        ("\x1b[2J\x1b[HFAKE", "\\x1b[2J\\x1b[HFAKE"),
        ("\x1b[1;36m(EngineCore_0 pid=90)\x1b[0;0m INFO", "(EngineCore_0 pid=90) INFO"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\r\nok: [host]", "a\\x0d\\x0aok: [host]"),
        ("a\tb", "a b"),
        ("\x00\x7f\x9b", "\\x00\\x7f\\x9b"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\u2028\ufeff", "\\u2028\\ufeff"),
        ("\udcff", "\\udcff"),
        ("\U000e0041", "\\U000e0041"),
        (7, "7"),
        ("", ""),
    ],
)
def test_what_acts_is_escaped_and_the_rest_stays(given_text: object, shown: str) -> None:
    assert harmless(given_text) == shown


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [("abcde", 5, "abcde"), ("abcdef", 5, "ab..."), ("\x1b\x1b", 8, "\\x1b\\x1b"), ("\x1b\x1b", 7, "\\x1b...")],
)
def test_its_length_is_bounded(text: str, limit: int, shown: str) -> None:
    assert harmless(text, limit) == shown


def test_the_usual_bound() -> None:
    assert harmless("x" * 400) == "x" * 400
    assert harmless("x" * 401) == "x" * 397 + "..."


@given(some.text(), some.integers(3, 50))
def test_it_prints_and_keeps_to_its_bound(text: str, limit: int) -> None:
    shown = harmless(text, limit)
    assert shown.isprintable() and len(shown) <= limit
