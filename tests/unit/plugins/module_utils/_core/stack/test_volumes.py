# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person writes as volumes, as Compose gets it: a source that is missing is refused, and never made as an empty folder."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.volumes import bind, long_form

CLOSED = {"create_host_path": False}


def test_a_bind_has_to_be_there() -> None:
    assert bind("/a", "/b") == {"type": "bind", "source": "/a", "target": "/b", "bind": CLOSED}
    assert bind("/a", "/b", read_only=True) == {**bind("/a", "/b"), "read_only": True}


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("/a:/b", {}),
        ("/a:/b:rw", {}),
        ("/a:/b:", {}),
        ("/a:/b:ro", {"read_only": True}),
        ("/a:/b:ro,z", {"read_only": True, "bind": {**CLOSED, "selinux": "z"}}),
        ("/a:/b:Z", {"bind": {**CLOSED, "selinux": "Z"}}),
        ("/a:/b:rslave,ro", {"read_only": True, "bind": {**CLOSED, "propagation": "rslave"}}),
    ],
)
def test_the_short_form_is_the_long_one(text: str, change: dict[str, Any]) -> None:
    assert long_form(text) == {**bind("/a", "/b"), **change}


def test_places_below_the_project_and_the_home_are_places_too() -> None:
    for source in ("./a", "../a", "~/a"):
        assert long_form(f"{source}:/b") == bind(source, "/b")


@pytest.mark.parametrize("text", ["models:/b", "/anonymous", "/a:b", "/a:/b:nocopy", "/a:/b:ro:x", "", ":", "C:\\a:/b"])
def test_anything_else_is_for_compose_to_judge(text: str) -> None:
    assert long_form(text) == text
