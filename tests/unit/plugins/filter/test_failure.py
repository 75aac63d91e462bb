# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter by which roles fail in the shape that modules have."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.gpuserve.fleet.plugins.filter.failure import FilterModule

failure = FilterModule().filters()["failure"]


def test_a_role_fails_in_the_shape_of_the_modules() -> None:
    parts = {"where": "gateway_port", "what": "80 is\n  taken.", "remedy": " Choose another. "}
    assert failure(parts) == "gateway_port: 80 is taken. Choose another."
    assert failure({**parts, "where": ""}) == "80 is taken. Choose another."


@pytest.mark.parametrize("parts", [{"what": "It is taken."}, {"where": "", "what": "", "remedy": "", "cause": ""}])
def test_a_part_that_is_missing_or_unknown_is_an_error(parts: dict[str, str]) -> None:
    with pytest.raises(AnsibleFilterError, match="where, what, remedy"):
        failure(parts)
