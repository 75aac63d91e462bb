# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths that somebody typed for the controller: from where it was called, whatever the playbook's folder is."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.gpuserve.fleet.plugins.filter.controller_path import FilterModule

controller_path = FilterModule().filters()["controller_path"]


def test_a_path_is_meant_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    assert controller_path("a/b.json") == str(tmp_path / "a/b.json")
    assert controller_path("/a/../b.json") == "/b.json"
    assert controller_path("~/b.json") == "/home/me/b.json"
    assert controller_path("a, /b", True) == [str(tmp_path / "a"), "/b"]
    assert controller_path(["a,b"], True) == [str(tmp_path / "a,b")]
