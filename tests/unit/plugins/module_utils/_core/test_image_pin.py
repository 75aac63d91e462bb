# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which digest is kept for a tag, and when."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import image_pin

TAG = "openresty/openresty:1.31"
OWN = f"openresty/openresty@sha256:{'a' * 64}"
OTHER = f"mirror.lab:5000/openresty@sha256:{'b' * 64}"


def test_what_was_pulled_first_is_wanted_until_somebody_asks_for_another() -> None:
    record = {TAG: OWN}
    assert image_pin.wanted(TAG, record, renew=False) == OWN
    assert image_pin.wanted(TAG, record, renew=True) == TAG
    assert image_pin.wanted("openresty/openresty:1.32", record, renew=False) == "openresty/openresty:1.32"
    assert image_pin.wanted(OTHER, {OTHER: OWN}, renew=True) == OTHER


@pytest.mark.parametrize(
    ("image", "digests", "pinned"),
    [
        (TAG, [OTHER, OWN], OWN),
        (TAG, [OTHER], OTHER),
        (TAG, [], ""),
        (TAG, ["<none>@<none>"], ""),
        ("docker.io/library/debian:13-slim", [OTHER, f"debian@sha256:{'c' * 64}"], f"debian@sha256:{'c' * 64}"),
        ("mirror.lab:5000/openresty", [OWN, OTHER], OTHER),
    ],
)
def test_of_several_digests_its_own_repository_s_is_kept(image: str, digests: list[str], pinned: str) -> None:
    assert image_pin.pin(image, digests) == pinned


def test_a_record_holds_tags_alone() -> None:
    assert image_pin.keep({}, TAG, OWN) == {TAG: OWN}
    assert image_pin.keep({TAG: OTHER, "x": OTHER}, TAG, OWN) == {TAG: OWN, "x": OTHER}
    assert image_pin.keep({TAG: OTHER}, TAG, "") == {}
    assert image_pin.keep({}, OWN, OWN) == {}


@pytest.mark.parametrize("record", [None, [], 5, {TAG: 5}, {TAG: "openresty:latest"}, {TAG: f"{OWN}; rm"}])
def test_a_record_of_another_shape_counts_as_none(record: Any) -> None:
    assert image_pin.read(record) == {}
