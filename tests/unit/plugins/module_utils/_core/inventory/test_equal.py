# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts are equal when all that their variables come to is, whatever else differs."""

from __future__ import annotations

from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.inventory.equal import fingerprint

OURS = ("a", "b")


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Tell whether two hosts are equal by what they have of OURS."""
    return fingerprint("one", first, OURS) == fingerprint("two", second, OURS)


def test_only_what_counts_is_compared() -> None:
    assert same({"a": 1, "ansible_host": "192.0.2.1"}, {"a": 1, "ansible_host": "192.0.2.2"})
    assert not same({"a": 1}, {"a": 2})
    assert not same({"a": 1}, {"a": 1, "b": None})


def test_what_a_template_names_counts_however_far() -> None:
    first: dict[str, Any] = {"a": [{"x": "{{ c }}"}], "c": "{{ d | default(3) }}", "d": 4, "e": 5}
    assert same(first, {**first, "e": 6})
    assert not same(first, {**first, "d": 5})
    assert same({"a": "c", "c": 1}, {"a": "c", "c": 2}), "a text that is no template names nothing"
    assert not same({"a": "{% if c %}x{% endif %}", "c": 1}, {"a": "{% if c %}x{% endif %}", "c": 2})
    assert not same({"a": {"{{ c }}": 1}, "c": 1}, {"a": {"{{ c }}": 1}, "c": 2})
    # Names that end in each other are no endless loop.
    assert same({"a": "{{ b }}", "b": "{{ a }}"}, {"a": "{{ b }}", "b": "{{ a }}"})


def test_a_host_whose_templates_may_reach_anything_is_equal_to_none() -> None:
    for text in ("{{ hostvars['x'].y }}", "{{ lookup('vars', name) }}", "{{ ansible_facts.hostname }}"):
        assert not same({"a": text}, {"a": text})
