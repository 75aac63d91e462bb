# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one process of a run compiled, the others read: the same results, and no compilation where none is due."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jinja2
import pytest
from ansible._internal._datatag._tags import TrustedAsTemplate
from ansible._internal._templating._jinja_bits import AnsibleEnvironment
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.gpuserve.fleet.plugins.plugin_utils import compiled_templates

# Begin a process: it shares the folder, and what it compiles is noted.
Begin = Callable[[], None]


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that were compiled."""
    found: list[str] = []
    generate = jinja2.Environment._generate

    def noted(self: jinja2.Environment, source: Any, *args: Any, **more: Any) -> Any:
        found.append("compiled")
        return generate(self, source, *args, **more)

    monkeypatch.setattr(jinja2.Environment, "_generate", noted)
    return found


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    engine: Any = AnsibleEnvironment
    compiles, expressions = engine.compile, engine.compile_expression

    def restore() -> None:
        engine.compile, engine.compile_expression = compiles, expressions

    def process() -> None:
        restore()
        assert compiled_templates.share(tmp_path / "templates")

    yield process
    restore()


def rendered(text: str, **variables: Any) -> Any:
    """Render a template in a new engine, as each task has one."""
    return Templar(DataLoader(), variables=variables).template(TrustedAsTemplate().tag(text))


def holds(condition: str, **variables: Any) -> bool:
    """Tell whether a condition holds, which is an expression without braces."""
    return bool(Templar(DataLoader(), variables=variables).evaluate_conditional(TrustedAsTemplate().tag(condition)))


def test_a_template_and_a_condition_are_compiled_by_the_first_process_alone(begin: Begin, compiled: list[str]) -> None:
    begin()
    assert rendered("{{ models | map('upper') | list }} {{ port + 1 }}", models=["qwen"], port=8000) == "['QWEN'] 8001"
    assert holds("models | length > 1", models=[1, 2])
    assert len(compiled) == 2
    begin()
    # Values are of each task: only the code is shared.
    assert rendered("{{ models | map('upper') | list }} {{ port + 1 }}", models=["yi"], port=1) == "['YI'] 2"
    assert not holds("models | length > 1", models=[])
    assert len(compiled) == 2


def test_a_text_that_is_no_expression_is_not_taken_for_one(begin: Begin, compiled: list[str]) -> None:
    begin()
    assert holds("port", port=True) and rendered("port", port=True) == "port"
    begin()
    environment = AnsibleEnvironment()
    text, other = (
        one.compile("[[ port ]]")
        for one in (environment, environment.overlay(variable_start_string="[[", variable_end_string="]]"))
    )
    assert text.co_consts != other.co_consts


def test_what_cant_be_compiled_is_said_by_each_process(begin: Begin) -> None:
    for _process in range(2):
        begin()
        with pytest.raises(Exception, match=r"[Ss]yntax error"):
            rendered("{{ models | }}")
        with pytest.raises(Exception, match="unknown_filter"):
            rendered("{{ 1 | unknown_filter }}")


def test_the_folder_is_its_account_s_alone_and_may_be_gone(begin: Begin, tmp_path: Path) -> None:
    begin()
    folder = tmp_path / "templates"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    rendered("{{ 1 + 1 }}")
    kept = list(folder.iterdir())
    assert kept
    for path in kept:
        path.unlink()
    folder.rmdir()
    begin()
    (tmp_path / "templates").rmdir()
    assert rendered("{{ 2 + 3 }}") == 5
