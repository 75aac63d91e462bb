# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The list that playbooks/keys.yml keeps: every change of it, and what each is refused with."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import keys, registry

ONE, TWO, NEW = "1" * 64, "2" * 64, "3" * 64
ENTRIES: list[dict[str, Any]] = [
    {"name": "team-a", "sha256": ONE, "models": ["qwen"], "expires": "2027-01-31"},
    {"name": "batch", "sha256": TWO, "max_concurrent": 4, "hosts": ["box-1", "box-2"]},
]


def after(hosts: tuple[str, ...] = (), **request: Any) -> list[dict[str, Any]]:
    wanted = registry.change(request, hosts)
    assert wanted
    return registry.changed(ENTRIES, wanted, NEW)


def refusal(hosts: tuple[str, ...] = (), **request: Any) -> str:
    with pytest.raises(FleetError) as caught:
        after(hosts, **request)
    assert caught.value.remedy and str(caught.value).startswith(caught.value.where)
    return str(caught.value)


def test_nothing_asked_is_a_list() -> None:
    assert registry.change({"add": "", "models": ""}) is None


def test_a_key_is_added_with_its_limits() -> None:
    added = after(add="new", models="qwen, yi", requests_per_minute="60", expires="2027-01-31")[-1]
    assert added == {
        "name": "new",
        "sha256": NEW,
        "models": ["qwen", "yi"],
        "requests_per_minute": 60,
        "expires": "2027-01-31",
    }
    assert after(("box-1",), add="new")[-1] == {"name": "new", "sha256": NEW, "hosts": ["box-1"]}


# Noon of 2027-01-30, in UTC.
NOON = 1801310400


@pytest.mark.parametrize(
    ("request_", "variable"),
    [
        ({"add": "a", "expires": "2027-01-30"}, "key_expires"),
        ({"rotate": "team-a", "keep_until": "2026-12-31"}, "key_keep_until"),
    ],
)
def test_a_day_that_is_over_is_refused(request_: dict[str, str], variable: str) -> None:
    with pytest.raises(
        FleetError, match=rf"^{variable}: .* has begun, in UTC: the key would open nothing\. Write a later day"
    ):
        registry.change(request_, now=NOON)
    for setting in ("expires", "keep_until"):
        if setting in request_:
            assert registry.change({**request_, setting: "2027-01-31"}, now=NOON)


def test_each_host_gets_its_own() -> None:
    assert [entry["name"] for entry in registry.for_host(ENTRIES, "box-1")] == ["team-a", "batch"]
    assert [entry["name"] for entry in registry.for_host(ENTRIES, "box-3")] == ["team-a"]
    # What a host gets is an entry of gateway_keys.
    assert len(keys.parse(registry.for_host(ENTRIES, "box-1"), ["qwen"])) == 2


def test_a_key_is_revoked_everywhere_or_on_some_hosts() -> None:
    assert [entry["name"] for entry in after(revoke="team-a")] == ["batch"]
    assert after(("box-1",), revoke="batch")[1]["hosts"] == ["box-2"]
    assert [entry["name"] for entry in after(("box-1", "box-2"), revoke="batch")] == ["team-a"]
    assert "team-a is a key of all hosts" in refusal(("box-1",), revoke="team-a")


def test_a_rotated_key_keeps_what_it_opens() -> None:
    rotated = {entry["name"]: entry for entry in after(rotate="team-a")}
    assert rotated["team-a"] == {**ENTRIES[0], "sha256": NEW} and set(rotated) == {"team-a", "batch"}


def test_the_old_key_may_open_for_a_while_under_another_name() -> None:
    rotated = {entry["name"]: entry for entry in after(rotate="team-a", keep_until="2026-12-24")}
    assert rotated["team-a.old"] == {**ENTRIES[0], "name": "team-a.old", "expires": "2026-12-24"}
    assert rotated["team-a"]["sha256"] == NEW
    parsed = keys.parse(registry.for_host(list(rotated.values()), "box-1"), ["qwen"])
    assert {key.name for key in parsed} == {"team-a", "team-a.old", "batch"}


@pytest.mark.parametrize(
    ("request_of", "words"),
    [
        ({"add": "team-a"}, "key_add: team-a is a key already"),
        ({"add": "TEAM-A"}, "key_add: TEAM-A is a key already"),
        ({"add": "a b"}, "key_add: 'a b' is no name of a key"),
        ({"revoke": "gone"}, "key_revoke: gone is no key of gateway_keys_file; there are team-a, batch"),
        ({"rotate": "gone"}, "key_rotate: gone is no key"),
        ({"add": "x", "revoke": "team-a"}, "key_revoke: key_add is set, too"),
        ({"add": "x", "expires": "soon"}, "key_expires: 'soon' is no day"),
        ({"add": "x", "max_concurrent": "0"}, "key_max_concurrent: '0' is no limit"),
        ({"add": "x", "keep_until": "2027-01-31"}, "key_keep_until: it is for a key that is rotated"),
        ({"rotate": "team-a", "models": "yi"}, "key_models: it is for a key that is added"),
        ({"rotate": "team-a", "keep_until": "later"}, "key_keep_until: 'later' is no day"),
    ],
)
def test_mistakes_are_named(request_of: dict[str, str], words: str) -> None:
    assert words in refusal((), **request_of)


def test_people_see_a_table_without_digests() -> None:
    lines = registry.table(ENTRIES)
    assert lines[0].split()[:2] == ["name", "models"] and "team-a" in lines[1] and "box-1, box-2" in lines[2]
    assert ONE not in "".join(lines)


def test_the_first_key_is_changed_by_its_name_where_no_list_has_it() -> None:
    wanted = registry.change({"revoke": "default"})
    assert registry.change_of_first(wanted, ["team-a"]) == "revoke"
    assert registry.change_of_first(wanted, ["default"]) is None
    assert registry.change_of_first(registry.change({"revoke": "team-a"}), []) is None
