# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Of each public variable it is decided whether it can hold a secret, and each secret of the suite is planted somewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest

from ansible_collections.gpuserve.fleet.tests.support import planted
from ansible_collections.gpuserve.fleet.tests.unit.test_role_specs import NAMES, options

CHECKOUT = Path(__file__).parents[3]


@pytest.mark.parametrize("role", NAMES)
def test_each_variable_is_decided(role: str) -> None:
    for name, spec in options(role).items():
        is_closed = spec.get("type") in ("int", "float", "bool") or "choices" in spec
        holds_none = is_closed or planted.HOLDS_NONE.search(name) is not None
        assert holds_none != (name in planted.PLANTED), f"{name}: plant a secret in it, or say why it holds none"


def test_each_secret_is_planted() -> None:
    somewhere = {name for names in planted.PLANTED.values() for name in names}
    somewhere |= {*planted.PLANTED_IN_PLAYBOOKS, *planted.PLANTED_ON_HOSTS}
    assert somewhere == set(planted.NAMES)
    assert len(planted.NAMES) >= 20
    sources = (Path(planted.__file__), CHECKOUT / "tests" / "integration" / "playbooks" / "test_planted.py")
    used = {
        name
        for path in sources
        for name in re.findall(r"(?:secret|address|pem|vaulted)\(\s*[\"']([a-z-]+)[\"']", path.read_text())
    }
    assert used == set(planted.NAMES)


@pytest.mark.parametrize(
    "form",
    [
        lambda value: value,
        lambda value: f"http://planted-user:{value}%2F%26@host",
        lambda value: hashlib.sha256(value.encode()).hexdigest(),
        lambda value: base64.b64encode(f"a: {value}, b: c".encode()).decode(),
        lambda value: base64.b64encode(f"ab: {value}, b: c".encode()).decode(),
        lambda value: base64.b64encode(f"abc: {value}, b: c".encode()).decode(),
    ],
)
def test_a_secret_is_found_in_each_form(form) -> None:  # type: ignore[no-untyped-def]
    assert planted.shown(f"x {form(planted.secret('hf-token'))} y") == ["hf-token"]
