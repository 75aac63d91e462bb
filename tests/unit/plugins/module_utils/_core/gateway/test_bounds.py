# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway's bounds as numbers, each at its edge, and whole what Lua, the account files and the judge are handed."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import keys, policy, registry, usage, view
from ansible_collections.gpuserve.fleet.tests.unit.plugins.module_utils._core.gateway.settings import (
    MODELS,
    SECRET,
    gateway,
)


@pytest.mark.parametrize(
    ("setting", "low", "high"),
    [
        ("port", 1, 65535),
        ("redirect_port", 1, 65535),
        ("queue_factor", 0, 1000),
        ("slow_start_s", 0, 86400),
        ("read_timeout_s", 1, 864000),
        ("check_interval_s", 1, 3600),
        ("worker_connections", 64, 1000000),
        ("usage_months", 1, 120),
        ("hsts_max_age_s", 0, 1000000000),
        ("workers", 1, 1024),
        ("uid", 0, 2147483647),
        ("gid", 0, 2147483647),
    ],
)
def test_whole_numbers_are_taken_up_to_their_bounds(setting: str, low: int, high: int) -> None:
    # A port that sends to TLS needs TLS.
    with_tls = {"tls": "self_signed"} if setting == "redirect_port" else {}
    for value in (low, high):
        taken = getattr(gateway(**{setting: value, **with_tls}), setting)
        assert str(taken) == str(value)
    beyond = [high + 1, *([low - 1] if setting != "redirect_port" else [-1])]
    for value in beyond:
        with pytest.raises(FleetError):
            gateway(**{setting: value, **with_tls})


@pytest.mark.parametrize(
    ("uid", "taken"),
    [(61183, True), (61184, False), (65519, False), (65520, True), (65533, True), (65534, False), (65535, True)],
)
def test_numbers_of_accounts_that_others_are_given(uid: int, taken: bool) -> None:
    if taken:
        assert gateway(uid=uid).uid == uid
    else:
        with pytest.raises(FleetError, match=r"61184 to 65519 are dynamic users'"):
            gateway(uid=uid)


@pytest.mark.parametrize(("port", "account", "capabilities"), [(1023, "0:0", 4), (1024, "850:851", 0)])
def test_which_port_needs_a_capability(port: int, account: str, capabilities: int) -> None:
    found = gateway(port=port, uid=850, gid=851)
    shown = view.view(found)
    assert (shown["account"], len(shown["capabilities"])) == (account, capabilities)


@pytest.mark.parametrize(
    ("endpoint", "taken"),
    [("127.0.0.1:1", True), ("127.0.0.1:65535", True), ("127.0.0.1:0", False), ("127.0.0.1:65536", False)],
)
def test_ports_of_engines(endpoint: str, taken: bool) -> None:
    models = [{**MODELS[0], "endpoints": [endpoint]}]
    if taken:
        assert gateway(models=models).models[0].endpoints == (endpoint,)
    else:
        with pytest.raises(FleetError, match="no endpoint"):
            gateway(models=models)


@pytest.mark.parametrize(
    ("keys_", "models", "megabytes"),
    [
        # 12 figures of 320 bytes for each key and model, and one more of each.
        (0, 2, 4),
        (363, 2, 4),
        (364, 2, 8),
        (727, 2, 8),
        (728, 2, 16),
    ],
)
def test_memory_for_what_was_used_at_its_steps(keys_: int, models: int, megabytes: int) -> None:
    many = [{"name": f"key-{number}", "sha256": f"{number:064x}"} for number in range(keys_)]
    assert gateway(keys=many, models=MODELS[:models]).usage_megabytes == megabytes


@pytest.mark.parametrize(
    ("limit", "high"),
    [
        ("requests_per_minute", 1000000),
        ("max_concurrent", 65535),
        ("tokens_per_day", 1000000000000),
        ("tokens_per_month", 1000000000000),
    ],
)
def test_limits_of_a_key(limit: str, high: int) -> None:
    for value in (1, high):
        found = gateway(keys=[{"name": "a", "key": SECRET, limit: value}]).keys[0]
        assert getattr(found, limit) == value
        assert found.as_entry()[limit] == value
    for wrong in (0, high + 1, -1, True, "1.5"):
        with pytest.raises(FleetError, match=f"Take a whole number from 1 to {high},"):
            gateway(keys=[{"name": "a", "key": SECRET, limit: wrong}])


@pytest.mark.parametrize(("letters", "taken"), [(23, False), (24, True), (256, True), (257, False)])
def test_how_long_a_key_is(letters: int, taken: bool) -> None:
    if taken:
        assert gateway(keys=[{"name": "a", "key": "x" * letters}]).keys[0].sha256 == keys.digest("x" * letters)
    else:
        with pytest.raises(FleetError):
            gateway(keys=[{"name": "a", "key": "x" * letters}])


def test_a_key_as_an_entry_says_only_what_was_set() -> None:
    entry = {
        "name": "a",
        "sha256": "1" * 64,
        "models": ["yi"],
        "requests_per_minute": 90,
        "tokens_per_month": 7,
        "expires": "2027-01-31",
        "policy": {"max_tokens": 5, "allow": ["regex"]},
    }
    assert keys.parse([entry], ["yi"])[0].as_entry() == entry
    assert keys.parse([{"name": "a", "sha256": "1" * 64}], [])[0].as_entry() == {"name": "a", "sha256": "1" * 64}


def test_a_day_begins_in_utc() -> None:
    assert keys.expiry("2027-01-31", "x") == 1801353600


CAPS = [
    "max_tokens",
    "n",
    "best_of",
    "sequences",
    "logprobs",
    "images",
    "body_bytes",
    "list_bytes",
    "schema_bytes",
    "schema_depth",
]
ALLOWED = [
    "chat_template",
    "prompt_embeds",
    "priority",
    "kv_transfer_params",
    "request_id",
    "regex",
    "ignore_eos",
    "media_urls",
]


def test_every_cap_and_everything_that_may_be_allowed() -> None:
    written = {**{cap: place for place, cap in enumerate(CAPS)}, "allow": ALLOWED}
    found = policy.parse(written, "gateway_policy")
    assert found.as_data() == {**{cap: place for place, cap in enumerate(CAPS)}, "allow": dict.fromkeys(ALLOWED, 1)}


@pytest.mark.parametrize(("value", "taken"), [(2**40, True), (2**40 + 1, False)])
def test_the_largest_cap(value: int, taken: bool) -> None:
    if taken:
        assert policy.parse({"body_bytes": value}, "x").as_data() == {"body_bytes": 1099511627776}
    else:
        with pytest.raises(FleetError):
            policy.parse({"body_bytes": value}, "x")


def test_all_that_lua_decides_by() -> None:
    changed: dict[str, Any] = {
        "draining": ["127.0.0.1:8003"],
        "sticky": "X-Session",
        "slow_start_s": 7,
        "check_interval_s": 9,
        "max_body": "2m",
        "max_key_bytes": "20m",
        "max_bytes": "200m",
        "usage_months": 5,
        "cors_origins": ["https://Chat.example.org"],
        "policy": {"n": 3},
    }
    found = view.data(gateway(**changed, keys=[{"name": "a", "sha256": "1" * 64}]))
    expected = {
        "draining": {"127.0.0.1:8003": 1},
        "sticky": "X-Session",
        "slow_start_s": 7,
        "check_interval_s": 9,
        "max_body": "2m",
        "max_key_bytes": "20m",
        "max_bytes": "200m",
        "usage_months": 5,
        "cors_origins": ["https://chat.example.org"],
        "policy": {"n": 3},
    }
    assert {name: found[name] for name in expected} == expected
    assert [model["name"] for model in found["models"]] == ["qwen", "yi"]
    assert found["models"][0]["aliases"] == ["Qwen/Qwen2.5-3B-Instruct"]
    assert found["keys"]["1" * 64]["name"] == "a"
    assert found["anyone"]["name"] == "anyone"


def test_the_accounts_of_a_container_that_begins_as_root() -> None:
    assert view.accounts(gateway(uid=850, gid=851, port=443)) == {
        "passwd": "root:x:0:0:root:/nonexistent:/usr/sbin/nologin\n"
        "gpuserve-gateway:x:850:851::/nonexistent:/usr/sbin/nologin\n",
        "group": "root:x:0:\ngpuserve-gateway:x:851:\n",
    }
    assert view.accounts(gateway(uid=850, gid=851)) == {}


def test_the_judge_of_a_candidate_to_its_last_word() -> None:
    script = "nginx -t -q -c /etc/gpuserve/live/nginx.conf; exec nginx -c /etc/gpuserve/live/trial.conf"
    image = gateway().image
    common = ["--security-opt", "no-new-privileges:true", "--user"]
    rest = [
        "--tmpfs",
        "/tmp:mode=1777",
        "--volume",
        "/c:/etc/gpuserve/live:ro",
        "--entrypoint",
        "sh",
        image,
        "-ec",
        script,
    ]
    begin = ["docker", "run", "--rm", "--network", "host", "--read-only", "--cap-drop", "ALL"]
    assert view.trial(gateway(uid=850, gid=851), "/c") == [*begin, *common, "850:851", *rest]
    more = [
        *("--cap-add", "NET_BIND_SERVICE", "--cap-add", "SETUID", "--cap-add", "SETGID", "--cap-add", "CHOWN"),
        *("--volume", "/c/passwd:/etc/passwd:ro", "--volume", "/c/group:/etc/group:ro"),
    ]
    assert view.trial(gateway(uid=850, gid=851, port=443), "/c") == [*begin, *more, *common, "0:0", *rest]


def test_the_names_of_a_certificate_of_our_own() -> None:
    found = view.certificate_names(gateway(tls="self_signed", tls_name="ai.example.org"))
    assert "DNS:ai.example.org" in found


def test_the_table_of_keys_shows_none_as_none() -> None:
    rows = registry.table(
        [
            {"name": "a", "requests_per_minute": 90, "expires": "2027-01-31", "hosts": ["x", "y"]},
            {"name": "bb", "models": ["qwen"], "max_concurrent": 2, "tokens_per_day": 30, "tokens_per_month": 400},
        ]
    )
    assert [row.split() for row in rows] == [
        ["name", "models", "a", "minute", "at", "once", "tokens", "a", "day", "a", "month", "until", "hosts"],
        ["a", "all", "90", "-", "-", "-", "2027-01-31", "x,", "y"],
        ["bb", "qwen", "-", "2", "30", "400", "-", "all"],
    ]
    assert rows[0].index("models") == rows[1].index("all") == rows[2].index("qwen") == 6


@pytest.mark.parametrize(
    ("since", "until", "inside", "outside"),
    [
        ("2027-01", "2027-02", ["2027-01-01", "2027-02-28", "2027-02-31"], ["2026-12-31", "2027-03-01"]),
        ("2027-01-05", "2027-01-06", ["2027-01-05", "2027-01-06"], ["2027-01-04", "2027-01-07"]),
        ("", "", ["2020-01-01"], []),
    ],
)
def test_days_that_are_asked_for(since: str, until: str, inside: list[str], outside: list[str]) -> None:
    wanted = usage.request("day", since, until, "")
    assert [wanted.wants(day) for day in inside] == [True] * len(inside)
    assert [wanted.wants(day) for day in outside] == [False] * len(outside)


@pytest.mark.parametrize(
    ("month", "taken"), [("2027-01", True), ("2027-12", True), ("2027-00", False), ("2027-13", False)]
)
def test_months(month: str, taken: bool) -> None:
    if taken:
        assert usage.request("month", month, "", "").since == f"{month}-01"
    else:
        with pytest.raises(FleetError):
            usage.request("month", month, "", "")
