# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes as people write them, and as they read them."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import gib, parse_size, round_up


@pytest.mark.parametrize(
    ("written", "size"),
    [
        (0, 0),
        (7, 7),
        (7.0, 7),
        ("7", 7),
        ("7B", 7),
        ("1KiB", 1024),
        ("1 MiB", 1048576),
        ("1gib", 1073741824),
        ("1.5GiB", 1610612736),
        (" 2TiB ", 2199023255552),
        ("1KB", 1000),
        ("1MB", 1000000),
        ("20GB", 20000000000),
        ("1TB", 1000000000000),
    ],
)
def test_a_size(written: Any, size: int) -> None:
    assert parse_size(written) == size


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (True, "True is not a size."),
        (-1, "-1 is not a number of bytes."),
        (1.5, "1.5 is not a number of bytes."),
        ("", "'' is not a size."),
        ("much", "'much' is not a size."),
        ("1XB", "'1XB' is not a size."),
        ("-1GiB", "'-1GiB' is not a size."),
        ("1GiB more", "'1GiB more' is not a size."),
        # No end of numbers, and digits of other scripts.
        (math.inf, "inf is not a number of bytes."),
        (math.nan, "nan is not a number of bytes."),
        (2**70, "1180591620717411303424 is not a number of bytes."),
        ("9" * 400 + "GiB", f"'{'9' * 80}' is not a size."),
        ("\uff15GiB", "'\uff15GiB' is not a size."),
    ],
)
def test_what_is_none(written: Any, words: str) -> None:
    with pytest.raises(FleetError) as caught:
        parse_size(written, "weights_bytes")
    assert (caught.value.where, caught.value.what) == ("weights_bytes", words)


def test_as_people_read_them() -> None:
    assert gib(14893274071) == "13.87 GiB"
    assert gib(14893274071, 0) == "14 GiB"
    assert gib(0) == "0.00 GiB"


@pytest.mark.parametrize(("size", "up"), [(0, 0), (1, 16), (15, 16), (16, 16), (17, 32)])
def test_rounded_up(size: int, up: int) -> None:
    assert round_up(size, 16) == up
