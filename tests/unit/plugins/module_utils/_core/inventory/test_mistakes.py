# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All mistakes of a run: each once, with who has it where not all do."""

from __future__ import annotations

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.inventory.mistakes import merged, report, variable

PORT = FleetError("gateway_port", "it is no number.", "Write one.")
KEY = FleetError("gateway_keys[2].models", "there is no such model.", "Take one of qwen.")
SAME_KEY = FleetError("gateway_keys", "it is no list.", "Write one.")


@pytest.mark.parametrize(
    ("where", "name"),
    [
        ("gateway_keys[2].models", "gateway_keys"),
        ("gateway_keys[2]", "gateway_keys"),
        ("gateway_limits.rate[1]", "gateway_limits"),
        ("gateway_port", "gateway_port"),
    ],
)
def test_the_variable_that_a_mistake_is_in(where: str, name: str) -> None:
    assert variable(FleetError(where, "x.", "y.")) == name


def test_no_mistake_is_nothing_to_say() -> None:
    assert report({}) == ""
    assert report({"gpu01": [], "gpu02": []}) == ""


def test_one_mistake_of_all_hosts_is_a_sentence() -> None:
    said = "gateway_port: it is no number. Write one. Nothing was changed."
    assert report({"gpu01": [PORT]}) == said
    assert report({"gpu01": [PORT], "gpu02": [PORT, PORT]}) == said


def test_one_mistake_of_some_hosts_names_them() -> None:
    hosts = {f"gpu0{at}": [PORT] for at in range(1, 5)}
    assert report({**hosts, "edge": []}).startswith("gpu01, gpu02, gpu03, gpu04: gateway_port: ")
    assert report({**hosts, "gpu05": [PORT], "edge": []}).startswith(
        "gpu01, gpu02, gpu03, gpu04 and 1 more: gateway_port: "
    )
    assert report({"gpu01": [PORT], "edge": []}).startswith("gpu01: gateway_port: ")


def test_several_mistakes_are_a_list() -> None:
    assert report({"gpu01": [PORT, KEY], "gpu02": [PORT]}).splitlines() == [
        "2 mistakes in the inventory. Nothing was changed.",
        "- gateway_port: it is no number. Write one.",
        "- gpu01: gateway_keys[2].models: there is no such model. Take one of qwen.",
    ]


def test_of_a_variable_only_the_first_finder_counts() -> None:
    second = FleetError("gateway_keys[1].name", "it is empty.", "Write one.")
    assert merged([KEY, second], [SAME_KEY, PORT], [PORT]) == [KEY, second, PORT]
    assert merged([], [PORT, SAME_KEY, KEY]) == [PORT, SAME_KEY, KEY], "one finder may find two in a variable"
    assert merged([PORT]) == [PORT]
