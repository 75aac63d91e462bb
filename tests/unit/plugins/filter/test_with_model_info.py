# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.filter.with_model_info import with_model_info
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.lookup import answer_key

FOUND, WRITTEN = "a" * 40, "b" * 40


@pytest.mark.parametrize(
    ("entry", "revision"),
    [
        ({}, FOUND),
        ({"revision": "main"}, FOUND),
        ({"trust_remote_code": False}, FOUND),
        # What was found just now is no commit that anybody has read.
        ({"trust_remote_code": True}, None),
        ({"trust_remote_code": True, "revision": "main"}, "main"),
        ({"trust_remote_code": True, "revision": WRITTEN}, WRITTEN),
    ],
)
def test_a_model_runs_at_the_commit_that_was_read(entry: dict[str, Any], revision: str | None) -> None:
    asked = str(entry.get("revision") or "main")
    commit = asked if asked == WRITTEN else FOUND
    read = {answer_key("o/m", asked, ""): {"commit": commit}}
    (model,) = with_model_info([{"name": "a", "model": "o/m", **entry}], read)
    assert model.get("revision") == revision
    assert model["info"] == {"commit": commit}
