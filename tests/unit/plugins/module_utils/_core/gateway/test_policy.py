# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies as written, and as Lua is handed them."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import policy


def test_nothing_written_is_nothing_set() -> None:
    nothings: tuple[Any, ...] = (None, "", {})
    for nothing in nothings:
        assert policy.parse(nothing, "gateway_policy").as_data() == {}


def test_caps_and_what_is_allowed() -> None:
    written = {"max_tokens": "4096", "n": 0, "allow": ["media_urls", "regex", "regex"]}
    parsed = policy.parse(written, "gateway_policy")
    assert parsed.as_data() == {"max_tokens": 4096, "n": 0, "allow": {"media_urls": 1, "regex": 1}}
    assert policy.parse(parsed.as_entry(), "gateway_policy") == parsed


@pytest.mark.parametrize(
    ("written", "where", "remedy"),
    [
        (7, "gateway_policy", "max_tokens"),
        ({"max_token": 1}, "gateway_policy.'max_token'", "max_tokens"),
        ({"n": -1}, "gateway_policy.n", "0"),
        ({"n": True}, "gateway_policy.n", "0"),
        ({"images": "many"}, "gateway_policy.images", "0"),
        ({"allow": "media_urls"}, "gateway_policy.allow", "dash"),
        ({"allow": ["everything"]}, "gateway_policy.allow", "media_urls"),
    ],
)
def test_mistakes_name_their_place_and_the_remedy(written: Any, where: str, remedy: str) -> None:
    with pytest.raises(FleetError) as failure:
        policy.parse(written, "gateway_policy")
    assert failure.value.where == where
    assert remedy in (failure.value.remedy or "")
