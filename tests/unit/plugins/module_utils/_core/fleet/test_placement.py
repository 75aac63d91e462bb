# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts serve a model: by its rule, the same wherever it is asked, and with few moves when hosts come and go."""

from __future__ import annotations

from itertools import permutations

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet.placement import (
    Host,
    Placement,
    Request,
    place,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.placement_rule import (
    EVERYWHERE,
    PlacementRule,
    labels,
    parse,
)

AT = "vllm_stack_models[0].placement"
RACKS = ("rack_a", "rack_b", "rack_c", "rack_d")
TWENTY = [Host(f"gpu{at:02d}", frozenset({"gpu_hosts", RACKS[at % 4]})) for at in range(20)]


def requested(rules: dict[str, PlacementRule], hosts: list[Host]) -> list[Request]:
    """Return requests of models that every host lists."""
    names = tuple(host.name for host in hosts)
    return [Request(model, rule, names, at) for at, (model, rule) in enumerate(rules.items())]


def placed(rules: dict[str, PlacementRule], hosts: list[Host], limit: int = 0) -> Placement:
    """Place models that every host lists."""
    return place(requested(rules, hosts), hosts, limit)


def pairs(found: Placement) -> set[tuple[str, str]]:
    """Return who serves what."""
    assert found.mistakes == ()
    return {(model, host) for model, hosts in found.hosts.items() for host in hosts}


def refusal(rules: dict[str, PlacementRule], hosts: list[Host], limit: int = 0) -> str:
    """Return the one thing that stands in the way."""
    (mistake,) = placed(rules, hosts, limit).mistakes
    return str(mistake)


@pytest.mark.parametrize(
    ("written", "rule"),
    [
        (None, EVERYWHERE),
        ("every", EVERYWHERE),
        (3, PlacementRule(3)),
        ("3", PlacementRule(3)),
        ({"label": "big_disk"}, PlacementRule(None, "big_disk")),
        (
            {"hosts": 2, "label": "quiet", "spread": ["rack_a", "rack_b"]},
            PlacementRule(2, "quiet", ("rack_a", "rack_b")),
        ),
    ],
)
def test_a_rule_is_read(written: object, rule: PlacementRule) -> None:
    assert parse(written, AT) == rule


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (0, f"{AT}: 0 is no number of hosts. Write every, or a whole number from 1 up."),
        (True, f"{AT}: True is no number of hosts."),
        ("all", f"{AT}: 'all' is no number of hosts."),
        ({"host": 2}, f"{AT}.host: there is no such setting. Did you mean hosts?"),
        ({"hosts": -1}, f"{AT}.hosts: -1 is no number of hosts."),
        ({"label": "big disk"}, f"{AT}.label: 'big disk' is no label."),
        ({"hosts": 2, "spread": "rack_a"}, f"{AT}.spread: it must be a list of groups."),
        ({"hosts": 2, "spread": ["a", "a"]}, f"{AT}.spread: it names a group twice."),
        ({"spread": ["a", "b"]}, f"{AT}.spread: every host serves the model: there is nothing to spread."),
    ],
)
def test_what_is_no_rule_is_refused(written: object, said: str) -> None:
    with pytest.raises(FleetError) as refused:
        parse(written, AT)
    assert str(refused.value).startswith(said)


def test_labels_are_a_list_of_words() -> None:
    assert labels(["big-disk", "quiet"], "gpuserve_labels") == ("big-disk", "quiet")
    with pytest.raises(FleetError, match="gpuserve_labels: 'quiet' is no list"):
        labels("quiet", "gpuserve_labels")


def test_as_many_hosts_as_asked_for_and_each_once() -> None:
    found = placed({"qwen": PlacementRule(3), "chat": EVERYWHERE}, TWENTY)
    assert len(set(found.hosts["qwen"])) == 3
    assert "chat" not in found.hosts, "what every host serves needs no decision"
    assert found.told == (
        f"qwen: 3 hosts: {', '.join(found.hosts['qwen'])}",
        f"chat: every host: {', '.join(host.name for host in TWENTY)}",
    )


def test_only_hosts_with_the_label() -> None:
    found = placed({"qwen": PlacementRule(None, "rack_b"), "yi": PlacementRule(2, "rack_c")}, TWENTY)
    assert found.hosts["qwen"] == ("gpu01", "gpu05", "gpu09", "gpu13", "gpu17")
    assert {int(host[3:]) % 4 for host in found.hosts["yi"]} == {2}


def test_spread_takes_each_group_before_any_twice() -> None:
    for count, most in ((4, 1), (6, 2), (20, 5)):
        chosen = placed({"qwen": PlacementRule(count, "", RACKS)}, TWENTY).hosts["qwen"]
        each = [sum(int(host[3:]) % 4 == rack for host in chosen) for rack in range(4)]
        assert sum(each) == count and max(each) == most and min(each) >= count // 4
    # A group that has too few gives the rest to the others.
    short = [Host("a1", frozenset({"rack_a"})), *(Host(f"b{at}", frozenset({"rack_b"})) for at in range(3))]
    assert len(placed({"qwen": PlacementRule(4, "", ("rack_a", "rack_b"))}, short).hosts["qwen"]) == 4


@pytest.mark.parametrize("limit", [0, 2])
def test_the_order_of_models_and_hosts_decides_nothing(limit: int) -> None:
    rules = {f"m{at}": PlacementRule(2) for at in range(4)}
    hosts = [Host(f"h{at}") for at in range(5)]
    outcomes = {
        frozenset(pairs(placed({name: rules[name] for name in order}, hosts, limit))) for order in permutations(rules)
    }
    outcomes.add(frozenset(pairs(placed(rules, hosts[::-1], limit))))
    assert len(outcomes) == 1


def test_a_host_that_leaves_moves_what_it_served_and_nothing_else() -> None:
    rules = {f"m{at}": PlacementRule(1 + at % 3, "", RACKS if at % 2 else ()) for at in range(12)}
    before = pairs(placed(rules, TWENTY))
    for leaving in TWENTY:
        after = pairs(placed(rules, [host for host in TWENTY if host is not leaving]))
        assert {pair for pair in before if pair[1] != leaving.name} <= after
        assert len(after) == len(before)
        # Quarantine is as good as leaving; and whoever comes back gets back what it had.
        quarantined = [Host(host.name, host.labels, "Xid 79" if host is leaving else "") for host in TWENTY]
        assert pairs(placed(rules, quarantined)) == after


def test_a_limit_holds_and_what_finds_no_room_is_said() -> None:
    rules = {f"m{at}": PlacementRule(2) for at in range(10)}
    served = [host for _model, host in pairs(placed(rules, TWENTY, 1))]
    assert len(served) == len(set(served)) == 20
    # A model of every host keeps its place.
    with_base = placed({"base": EVERYWHERE, "a": PlacementRule(1), "b": PlacementRule(1)}, TWENTY[:2], 2)
    assert {model for model, _host in pairs(with_base)} == {"a", "b"}
    said = refusal({"a": PlacementRule(2), "b": PlacementRule(1)}, TWENTY[:2], 1)
    assert said.startswith("gpuserve_max_models: at 1 a host there is no room for ")
    assert said.endswith(" on 1 more host. Raise it, or add hosts.")


def test_what_cannot_be_placed_is_said_with_the_way_out() -> None:
    assert refusal({"qwen": PlacementRule(2, "bigdisk")}, TWENTY) == (
        f"{AT}.label: no host that lists qwen has the label bigdisk. "
        "Put a host into a group of that name, or add it to its gpuserve_labels."
    )
    assert "Did you mean rack_" in refusal({"qwen": PlacementRule(2, "rack_e")}, TWENTY)
    assert refusal({"qwen": PlacementRule(3)}, TWENTY[:2]) == (
        f"{AT}: qwen is to be served by 3 hosts, and there are 2 (gpu00, gpu01). Take 2, or add hosts."
    )
    assert refusal({"qwen": PlacementRule(6, "rack_a")}, TWENTY) == (
        f"{AT}: qwen is to be served by 6 hosts with the label rack_a, and there are 5 "
        "(gpu00, gpu04, gpu08, gpu12 and 1 more). Take 5, or add hosts."
    )
    assert refusal({"qwen": PlacementRule(2, "", ("rack_a", "rack_x"))}, TWENTY) == (
        f"{AT}.spread: no host that may serve qwen is in rack_x. Correct the group, or take it out."
    )
    assert refusal({"qwen": PlacementRule(1)}, [Host("gpu01", frozenset(), "Xid 79")]) == (
        f"{AT}: every host that may serve qwen is in quarantine (gpu01). "
        "Bring one back (playbooks/quarantine.yml, or its gpuserve_quarantine), or add hosts."
    )


def test_only_hosts_that_list_a_model_serve_it() -> None:
    requests = [
        Request("qwen", PlacementRule(2), ("gpu00", "gpu01", "gpu02")),
        Request("qwen", PlacementRule(1), ("gpu07", "gpu08"), 1),
    ]
    chosen = place(requests, TWENTY).hosts["qwen"]
    assert len([host for host in chosen if host < "gpu03"]) == 2
    assert len([host for host in chosen if host > "gpu06"]) == 1


def test_fewer_hosts_than_asked_for_are_counted_and_named() -> None:
    assert ", and there is 1 (gpu00)." in refusal({"qwen": PlacementRule(2)}, TWENTY[:1])
    assert ", and there are 2 (gpu00, gpu01)." in refusal({"qwen": PlacementRule(3)}, TWENTY[:2])
    assert "(gpu00, gpu01, gpu02, gpu03 and 4 more)." in refusal({"qwen": PlacementRule(9)}, TWENTY[:8])


def test_a_full_host_keeps_what_every_host_serves() -> None:
    # Whatever the ranks are: that one can go nowhere else.
    for model in ("a", "b", "c", "d", "e", "f"):
        found = placed({model: PlacementRule(1), "chat": EVERYWHERE}, TWENTY[:2], limit=1)
        assert [str(mistake) for mistake in found.mistakes] == [
            f"gpuserve_max_models: at 1 a host there is no room for {model} on 1 more host. Raise it, or add hosts."
        ]
