# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Galaxy and Ansible read of the collection is whole."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

COLLECTION = Path(__file__).parents[2]


def read(name: str) -> dict[str, object]:
    found: dict[str, object] = yaml.safe_load((COLLECTION / name).read_text(encoding="utf-8"))
    return found


def test_every_module_is_in_the_action_group() -> None:
    groups = read("meta/runtime.yml")["action_groups"]
    modules = sorted(path.stem for path in (COLLECTION / "plugins/modules").glob("*.py"))
    assert groups == {"all": modules}


def test_galaxy_is_told_where_everything_is() -> None:
    galaxy = read("galaxy.yml")
    for name in ("description", "readme", "license_file", "tags"):
        assert galaxy.get(name), name
    for name in ("README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "SECURITY.md"):
        assert (COLLECTION / name).exists(), name


def test_every_role_has_a_page() -> None:
    for path in COLLECTION.glob("roles/*/tasks"):
        assert (path.parent / "README.md").exists(), path.parent.name


def test_files_of_the_execution_environment_are_there() -> None:
    named = read("meta/execution-environment.yml")["dependencies"]
    assert isinstance(named, dict)
    for name in named.values():
        assert (COLLECTION / str(name)).read_text(encoding="utf-8").strip(), name


def test_what_contributing_names_is_there() -> None:
    text = (COLLECTION / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for name in re.findall(r"`((?:plugins|tests)/[A-Za-z0-9_./]+)`", text):
        assert (COLLECTION / name).exists(), name
    for name in re.findall(r"`(_core/[a-z_/]+\.py)`", text):
        assert (COLLECTION / "plugins/module_utils" / name).exists(), name
