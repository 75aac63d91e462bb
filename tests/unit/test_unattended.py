# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks run where nobody answers: in AWX, in a pipeline, by an event. Nothing asks, and what is asked for is flat variables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

COLLECTION = Path(__file__).parents[2]
FILES = sorted([*COLLECTION.glob("playbooks/**/*.yml"), *COLLECTION.glob("roles/*/tasks/*.yml")])
RULEBOOKS = sorted(COLLECTION.glob("extensions/eda/rulebooks/*.yml"))


def mappings(node: Any) -> Iterator[dict[str, Any]]:
    """Return every mapping below a node."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from mappings(child)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(COLLECTION)))
def test_nothing_asks_and_nothing_waits_for_a_key(path: Path) -> None:
    for node in mappings(yaml.safe_load(path.read_text(encoding="utf-8"))):
        assert "vars_prompt" not in node, path.name
        for name in ("ansible.builtin.pause", "pause"):
            pause = node.get(name)
            assert name not in node or (isinstance(pause, dict) and {"seconds", "minutes"} & set(pause)), node["name"]


def test_what_starts_something_is_a_number_a_word_or_a_yes() -> None:
    """A survey has texts, numbers, choices and lists of words; what is neither can be written as JSON in a text."""
    specs = yaml.safe_load((COLLECTION / "meta/playbooks.yml").read_text(encoding="utf-8"))["argument_specs"]
    nested = {
        name
        for spec in specs.values()
        for name, option in spec["options"].items()
        if option["type"] == "dict" or (option["type"] == "list" and option.get("elements") == "dict")
    }
    assert nested == {"airgap_models", "benchmark_objectives", "benchmark_thresholds"}


@pytest.mark.parametrize("path", RULEBOOKS, ids=lambda path: path.name)
def test_rulebooks_run_playbooks_of_ours_with_variables_that_they_have(path: Path) -> None:
    specs = yaml.safe_load((COLLECTION / "meta/playbooks.yml").read_text(encoding="utf-8"))["argument_specs"]
    rules = [rule for ruleset in yaml.safe_load(path.read_text(encoding="utf-8")) for rule in ruleset["rules"]]
    assert rules
    for rule in rules:
        started = rule["action"]["run_playbook"]
        namespace, _dot, playbook = started["name"].rpartition(".")
        assert namespace == "gpuserve.fleet" and (COLLECTION / "playbooks" / f"{playbook}.yml").exists(), rule["name"]
        known = {**specs["every playbook"]["options"], **specs[playbook]["options"]}
        assert set(started["extra_vars"]) <= set(known), rule["name"]
        # Whoever sends an alert names a host, and no pattern of them.
        assert 'instance is match("^[A-Za-z0-9_.-]+(:[0-9]+)?$"' in rule["condition"], rule["name"]


def test_there_is_a_rulebook() -> None:
    assert RULEBOOKS
