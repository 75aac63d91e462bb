# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every public variable of a role stands in its defaults and in its argument specification, and both say the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = Path(__file__).resolve().parents[2] / "roles"
NAMES = sorted(path.name for path in ROLES.iterdir() if (path / "tasks").is_dir())
PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "path": (str,),
    "bool": (bool,),
    "int": (int,),
    "float": (float, int),
    "list": (list,),
    "dict": (dict,),
}


def read(role: str, name: str) -> Any:
    """Read a role's YAML file; what isn't there is empty."""
    path = ROLES / role / name
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.exists() else {}


def options(role: str) -> dict[str, Any]:
    """The options of a role's main entry point."""
    found: dict[str, Any] = read(role, "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    return found


def is_template(value: Any) -> bool:
    """Tell values that are known only at run time."""
    return isinstance(value, str) and "{{" in value


def test_there_are_roles() -> None:
    assert "docker_engine" in NAMES


@pytest.mark.parametrize("role", NAMES)
def test_defaults_and_specs_name_the_same_variables(role: str) -> None:
    specs, defaults = options(role), read(role, "defaults/main.yml")
    assert sorted(set(defaults) - set(specs)) == []
    # A variable without a default must be required: else a run without it would end in "is undefined".
    assert sorted(name for name in set(specs) - set(defaults) if not specs[name].get("required")) == []


@pytest.mark.parametrize("role", NAMES)
def test_defaults_and_specs_agree(role: str) -> None:
    defaults = read(role, "defaults/main.yml")
    for name, spec in options(role).items():
        if name not in defaults or is_template(defaults[name]):
            continue
        value = defaults[name]
        if "default" in spec:
            assert spec["default"] == value, name
        assert isinstance(value, PYTHON_TYPES.get(spec.get("type", "str"), (object,))) or value is None, name
        if "choices" in spec:
            assert value in spec["choices"], name


@pytest.mark.parametrize("role", NAMES)
def test_variables_carry_the_role_s_name_and_a_description(role: str) -> None:
    for name, spec in options(role).items():
        assert name.startswith(f"{role}_"), name
        assert spec.get("description"), name


@pytest.mark.parametrize("role", NAMES)
def test_private_variables_carry_the_role_s_name(role: str) -> None:
    for path in (ROLES / role / "vars").glob("*.yml"):
        for name in yaml.safe_load(path.read_text(encoding="utf-8")) or {}:
            assert name.startswith(f"_{role}_"), f"{path.name}: {name}"
