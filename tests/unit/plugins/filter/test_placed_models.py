# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The models that a host serves, of those that its inventory lists."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.gpuserve.fleet.plugins.filter.placed_models import placed_models

EVERYWHERE, SOME = {"name": "chat"}, {"name": "qwen", "placement": {"hosts": 1}}


def test_models_of_other_hosts_are_left_out() -> None:
    assert placed_models([EVERYWHERE, SOME], "gpu01", {"qwen": ["gpu02"]}) == [EVERYWHERE]
    assert placed_models([EVERYWHERE, SOME], "gpu02", {"qwen": ["gpu02"]}) == [EVERYWHERE, SOME]
    assert placed_models([{**EVERYWHERE, "placement": "every"}], "gpu01") == [{**EVERYWHERE, "placement": "every"}]


@pytest.mark.parametrize("decided", [None, {}])
def test_a_rule_that_nobody_decided_on_is_refused(decided: dict[str, list[str]] | None) -> None:
    with pytest.raises(AnsibleFilterError) as refused:
        placed_models([EVERYWHERE, SOME], "gpu01", decided)
    assert "vllm_stack_models[1].placement: it was not decided which hosts serve qwen." in str(refused.value)


def test_what_is_no_list_of_models_is_left_alone() -> None:
    assert placed_models("none", "gpu01") == "none"
    assert placed_models(["text"], "gpu01") == ["text"]


def test_a_host_of_a_group_is_told_its_part() -> None:
    large = {"name": "large", "distributed": {"hosts": 2}}
    member = {"rank": 1, "address": "192.0.2.2", "master_address": "192.0.2.1"}
    placement, members = {"large": ["gpu01", "gpu02"]}, {"large": {"gpu02": member}}
    assert placed_models([EVERYWHERE, large], "gpu02", placement, members) == [
        EVERYWHERE,
        {**large, "distributed": {"hosts": 2, "member": member}},
    ]
    assert placed_models([EVERYWHERE, large], "gpu03", placement, members) == [EVERYWHERE]
    with pytest.raises(AnsibleFilterError, match="it was not decided which hosts serve large"):
        placed_models([large], "gpu01")
