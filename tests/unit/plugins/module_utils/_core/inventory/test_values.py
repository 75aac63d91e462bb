# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values as YAML hands them over, by what a role says of each: the sentence for each that is none."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.inventory.values import check, flag, mistakes


def said(value: Any, **spec: Any) -> str:
    """What is said of a value; empty where it is as it should be."""
    try:
        check(value, spec, "v")
    except FleetError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("value", "spec"),
    [
        ("x", {}),
        (5, {}),
        ("", {}),
        (None, {"type": "raw"}),
        ({"a": 1}, {"type": "raw"}),
        ("/x", {"type": "path"}),
        (True, {"type": "bool"}),
        ("no", {"type": "bool"}),
        (5, {"type": "int"}),
        (" 5 ", {"type": "int"}),
        ("-5", {"type": "int"}),
        ("+5", {"type": "int"}),
        ("9" * 19, {"type": "int"}),
        (1.5, {"type": "float"}),
        ("1.5E-3", {"type": "float"}),
        (2, {"type": "int", "choices": [1, 2]}),
        ("2", {"type": "int", "choices": [1, 2]}),
        ("auto", {"choices": ["auto", "off"]}),
        (False, {"choices": ["auto", "off"]}),
        ([], {"type": "list"}),
        ((1, "x", None), {"type": "list"}),
        (["a"], {"type": "list", "elements": "str"}),
        ([5], {"type": "list", "elements": "dict"}),
        ([{"a": 1}], {"type": "list", "elements": "dict", "options": {"a": {"type": "int"}}}),
        ({"x": 1}, {"type": "dict"}),
        ({"x": 1}, {"type": "dict", "options": {}}),
        ({"a": None}, {"type": "dict", "options": {"a": {"type": "int"}}}),
        ({}, {"type": "dict", "options": {"a": {"type": "int"}}}),
    ],
)
def test_what_is_as_it_should_be(value: Any, spec: dict[str, Any]) -> None:
    assert said(value, **spec) == ""


@pytest.mark.parametrize(
    ("value", "spec", "sentence"),
    [
        (None, {}, 'v: it is empty. Write "", or remove the line.'),
        (None, {"type": "bool"}, "v: it is empty. Write true or false, or remove the line."),
        (None, {"type": "bool", "default": False}, "v: it is empty. Write false, or remove the line."),
        (None, {"type": "list"}, "v: it is empty. Write [], or remove the line."),
        (None, {"type": "dict"}, "v: it is empty. Write {}, or remove the line."),
        (None, {"type": "int", "default": 8000}, "v: it is empty. Write 8000, or remove the line."),
        (None, {"type": "float"}, "v: it is empty. Write 1, or remove the line."),
        (None, {"default": ""}, 'v: it is empty. Write "", or remove the line.'),
        (None, {"default": "auto"}, "v: it is empty. Write auto, or remove the line."),
        ("maybe", {"type": "bool"}, "v: 'maybe' is neither true nor false. Write one of them."),
        ("hush", {"type": "bool", "no_log": True}, "v: what it holds is neither true nor false. Write one of them."),
        ("", {"type": "bool"}, "v: nothing is neither true nor false. Write one of them."),
        ("x", {"type": "list"}, "v: 'x' is no list. Write each entry in a line of its own, after a dash."),
        (b"x", {"type": "list"}, "v: b'x' is no list. Write each entry in a line of its own, after a dash."),
        ({"a": 1}, {"type": "list"}, "v: {'a': 1} is no list. Write each entry in a line of its own, after a dash."),
        (
            "hush",
            {"type": "list", "no_log": True},
            "v: what it holds is no list. Write each entry in a line of its own, after a dash.",
        ),
        ([1, "x"], {"type": "list", "elements": "int"}, "v[1]: 'x' is no whole number. Write one such as 1."),
        (
            [{"a": "x"}],
            {"type": "list", "elements": "dict", "options": {"a": {"type": "int"}}},
            "v[0].a: 'x' is no whole number. Write one such as 1.",
        ),
        (
            [5],
            {"type": "list", "elements": "dict", "options": {"a": {}}},
            "v[0]: 5 is no mapping. Write NAME: VALUE below it.",
        ),
        ("x", {"type": "dict"}, "v: 'x' is no mapping. Write NAME: VALUE below it."),
        ("x", {"type": "dict", "no_log": True}, "v: what it holds is no mapping. Write NAME: VALUE below it."),
        (
            {"prot": 1},
            {"type": "dict", "options": {"port": {}, "host": {}}},
            "v.prot: there is no such setting. Did you mean port? Known are host, port.",
        ),
        ({"zz": 1}, {"type": "dict", "options": {"port": {}}}, "v.zz: there is no such setting. Known are port."),
        ({}, {"type": "dict", "options": {"port": {"required": True}}}, "v.port: it is missing. Write it."),
        ({"port": None}, {"type": "dict", "options": {"port": {"required": True}}}, "v.port: it is missing. Write it."),
        (True, {"type": "int"}, "v: true is no whole number. Write one such as 1."),
        (1.5, {"type": "int", "default": 7}, "v: 1.5 is no whole number. Write one such as 7."),
        ("9" * 20, {"type": "int"}, f"v: '{'9' * 20}' is no whole number. Write one such as 1."),
        ("1e9999", {"type": "float"}, "v: '1e9999' is no number. Write one such as 1."),
        ("x", {"type": "float", "no_log": True}, "v: what it holds is no number. Write one such as 1."),
        (3, {"type": "int", "choices": [1, 2]}, "v: there is no 3. Take one of 1, 2."),
        ("autp", {"choices": ["auto", "off"]}, "v: there is no 'autp'. Did you mean auto? Take one of auto, off."),
        (1.10, {}, "v: 1.1 is a number to YAML, which drops a zero at its end. Write it in quotes, as a text."),
        (True, {}, "v: true is no text. Write one, in quotes."),
        ([1], {}, "v: [1] is no text. Write one, in quotes."),
        ([1], {"no_log": True}, "v: what it holds is no text. Write one, in quotes."),
    ],
)
def test_what_is_said_of_what_is_not(value: Any, spec: dict[str, Any], sentence: str) -> None:
    assert said(value, **spec) == sentence


def test_a_long_or_a_strange_value_is_shown_in_part_and_in_ascii() -> None:
    assert said(["x" * 200]) == f"v: ['{'x' * 58} is no text. Write one, in quotes."
    assert said(["\u202e"]) == "v: ['\\u202e'] is no text. Write one, in quotes."


def test_a_flag_is_what_it_says() -> None:
    assert (flag("yes", "v"), flag("off", "v"), flag(True, "v"), flag(False, "v")) == (True, False, True, False)
    with pytest.raises(FleetError, match="what it holds is neither"):
        flag("x", "v", hidden=True)
    with pytest.raises(FleetError, match="'x' is neither"):
        flag("x", "v")


def test_a_role_s_variables_are_each_named_once() -> None:
    specs: dict[str, dict[str, Any]] = {
        "port": {"type": "int"},
        "name": {"required": True},
        "keys": {"type": "list", "elements": "int"},
        "free": {},
        "fine": {"required": True},
    }
    found = [str(error) for error in mistakes(specs, {"port": "x", "keys": ["a", "b"], "fine": "x", "else": 5})]
    assert found == [
        "port: 'x' is no whole number. Write one such as 1.",
        "name: it is missing. Set it.",
        "keys[0]: 'a' is no whole number. Write one such as 1.",
    ]
