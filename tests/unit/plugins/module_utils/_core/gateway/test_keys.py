# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys: limits, days, names and digests; and that no message holds one."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import keys

MODELS = ["qwen", "yi"]
SECRET = "a-key-that-is-long-enough"


def entry(**changed: Any) -> dict[str, Any]:
    return {"name": "team-a", "key": SECRET, **changed}


def parsed(*entries: Any) -> tuple[keys.Key, ...]:
    return keys.parse(list(entries), MODELS)


def test_a_key_is_kept_by_its_digest() -> None:
    key = parsed(entry(models=["yi"], requests_per_minute="60", max_concurrent=4, expires="2027-01-31"))[0]
    # printf %s a-key-that-is-long-enough | sha256sum
    assert key.sha256 == "e0f6e0b8e84eb1ac8aad6040924f4a9c825b931994e90fccfd59be046b0d474f"
    assert (key.models, key.requests_per_minute, key.max_concurrent, key.expires) == (("yi",), 60, 4, 1801353600)
    assert SECRET not in repr(key)
    assert keys.parse([key.as_entry()], MODELS) == (key,)


@pytest.mark.parametrize("absent", [None, "", []])
def test_what_is_left_empty_is_no_limit(absent: Any) -> None:
    limits = {} if absent == [] else {"requests_per_minute": absent, "max_concurrent": absent, "expires": absent}
    key = parsed(entry(models=absent, **limits))[0]
    assert (key.models, key.requests_per_minute, key.max_concurrent, key.expires) == ((), 0, 0, 0)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (["team-a"], "gateway_keys[0]: it is no entry of a key"),
        ([entry(name="a b")], "gateway_keys[0].name: 'a b' is no name of a key"),
        ([entry(name='a"b')], "is no name of a key"),
        ([entry(name="a$b")], "is no name of a key"),
        ([entry(name="~a")], "is no name of a key"),
        ([entry(name="a\n")], "is no name of a key"),
        ([entry(name="a" * 65)], "at most 64"),
        ([entry(name=None)], "gateway_keys[0].name: it is missing."),
        ([entry(colour="red")], "gateway_keys[0].colour: there is no such setting"),
        ([entry(), entry(key="b" * 24)], "gateway_keys[1].name: team-a is another key already."),
        ([entry(), entry(name="Team-A", key="b" * 24)], "Team-A is another key already, team-a."),
        ([entry(), entry(name="other")], "gateway_keys[1]: other is the same key as team-a"),
        ([entry(), {"name": "other", "sha256": keys.digest(SECRET)}], "other is the same key as team-a"),
        ([{"name": "team-a"}], "team-a needs either key or sha256"),
        ([entry(sha256="0" * 64)], "team-a needs either key or sha256"),
        ([{"name": "team-a", "sha256": "0" * 63}], "gateway_keys[0].sha256: it is no digest"),
        ([{"name": "team-a", "sha256": "A" * 64}], "gateway_keys[0].sha256: it is no digest"),
        ([entry(key="x" * 23)], "the key of team-a has 23 characters"),
        ([entry(key="x" * 257)], "holds what no key holds"),
        ([entry(key="a key with spaces in between")], "holds what no key holds"),
        ([entry(models=["gone"])], "gateway_keys[0].models: there is no model 'gone'. There are qwen, yi."),
        ([entry(models="yi")], "'yi' is no list"),
        ([entry(requests_per_minute=0)], "gateway_keys[0].requests_per_minute: 0 is no limit"),
        ([entry(max_concurrent=-1)], "gateway_keys[0].max_concurrent: -1 is no limit"),
        ([entry(max_concurrent=True)], "is no limit"),
        ([entry(max_concurrent=1.5)], "is no limit"),
        ([entry(expires="2027-02-30")], "'2027-02-30' is no day"),
        ([entry(expires="tomorrow")], "'tomorrow' is no day"),
        ([entry(expires="2027-1-1")], "is no day"),
    ],
)
def test_mistakes_are_named_and_no_secret_is(entries: list[Any], words: str) -> None:
    with pytest.raises(FleetError) as caught:
        parsed(*entries)
    assert words in str(caught.value) and caught.value.remedy
    for one in entries:
        if isinstance(one, dict) and one.get("key"):
            assert one["key"] not in str(caught.value)


@pytest.mark.parametrize("name", ["default", "include", "hostnames", "volatile", "a.b_c@d-e", "a" * 64])
def test_names_that_nginx_reads_otherwise_are_names(name: str) -> None:
    assert parsed(entry(name=name))[0].name == name
