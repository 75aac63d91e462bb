# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose a host is while a run changes it, and which version of ours changed it last."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet.claim import (
    Claim,
    is_free,
    refusal,
    refusal_of_newer,
    version,
)

MINE = Claim("aaaa", "ops", "desk-1", 11, "2026-11-26 12:00:00 UTC")


def test_a_note_is_read_as_it_was_written() -> None:
    assert Claim.read(MINE.data()) == MINE
    assert str(MINE) == "a run of ops on desk-1, since 2026-11-26 12:00:00 UTC"
    assert str(Claim("aaaa")) == "a run of somebody on a controller, since a while"


@pytest.mark.parametrize(
    ("changed", "pid", "who"),
    [
        ({"pid": 0}, 0, "ops"),
        ({"pid": 1}, 1, "ops"),
        ({"pid": -3}, 0, "ops"),
        ({"pid": "11"}, 0, "ops"),
        ({"who": None}, 11, ""),
        # As long as it may be, and longer.
        ({"who": "x" * 64}, 11, "x" * 64),
    ],
)
def test_what_a_note_may_hold(changed: dict[str, Any], pid: int, who: str) -> None:
    found = Claim.read({**MINE.data(), **changed})
    assert found is not None
    assert (found.pid, found.who) == (pid, who)


def test_a_long_word_is_cut() -> None:
    found = Claim.read({**MINE.data(), "who": "x" * 65})
    assert found is not None and len(found.who) <= 64


def test_who_may_take_a_host() -> None:
    assert is_free(None, "bbbb")
    assert is_free(MINE, "aaaa")
    assert is_free(MINE, "bbbb", over="aaaa")
    assert not is_free(MINE, "bbbb")
    assert not is_free(MINE, "bbbb", over="cccc")


def test_who_holds_hosts_is_told_by_the_first_of_them() -> None:
    assert refusal({}) is None
    assert str(refusal({"gpu01": MINE})).startswith("gpuserve_take_over: gpu01 is being changed by a run of ops")
    other = Claim("bbbb", "night-shift")
    said = str(refusal({"gpu03": other, "gpu01": MINE, "gpu02": other}))
    assert said.startswith("gpuserve_take_over: gpu01 and 2 more are being changed by a run of ops")


@pytest.mark.parametrize(
    ("text", "found"),
    [("0.2.0", "0.2.0"), (" 1.12.3\n", "1.12.3"), ("0.2", ""), ("0.2.0; id", ""), ("", ""), (None, ""), (7, "")],
)
def test_the_version_that_a_note_names(text: Any, found: str) -> None:
    assert version(text) == found


def test_hosts_of_a_newer_version_are_refused_in_one_sentence() -> None:
    assert refusal_of_newer({}, "0.2.0", "/n") is None
    assert refusal_of_newer({"a": "0.2.0", "b": "0.1.9"}, "0.2.0", "/n") is None
    said = str(refusal_of_newer({"a": "0.2.0", "b": "0.10.0", "c": "0.9.1"}, "0.2.0", "/n"))
    assert said == (
        "b: version 0.10.0 of gpuserve.fleet has changed this host and 1 more, and here is 0.2.0. "
        "Install 0.10.0 on this controller; to go back on purpose, remove /n there."
    )
