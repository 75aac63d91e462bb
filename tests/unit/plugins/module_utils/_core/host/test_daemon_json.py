# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Merging into a daemon.json that others write too."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import credentials
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import daemon_json as dd

REQUIRED: dict[str, Any] = {"features": {"cdi": True}, "insecure-registries": ["lab:5000"]}
DEFAULTS: dict[str, Any] = {
    "live-restore": True,
    "log-driver": "json-file",
    "log-opts": {"max-size": "50m", "max-file": "5"},
}


def test_an_empty_file_takes_everything() -> None:
    merge = dd.merge({}, REQUIRED, DEFAULTS, {})
    assert merge.options == {**DEFAULTS, **REQUIRED}
    assert merge.kept == ()


def test_what_others_wrote_stays() -> None:
    current = {
        "features": {"containerd-snapshotter": True},
        "insecure-registries": ["theirs:5000"],
        "bip": "10.1.0.1/24",
    }
    merge = dd.merge(current, REQUIRED, {}, {})
    assert merge.options == {
        "features": {"containerd-snapshotter": True, "cdi": True},
        "insecure-registries": ["theirs:5000", "lab:5000"],
        "bip": "10.1.0.1/24",
    }


def test_a_default_gives_way_and_says_so() -> None:
    merge = dd.merge({"live-restore": False}, {}, DEFAULTS, {})
    assert merge.options["live-restore"] is False
    assert merge.kept == ("live-restore stays False",)


def test_rotation_of_one_driver_is_not_forced_on_another() -> None:
    merge = dd.merge({"log-driver": "journald"}, {}, DEFAULTS, {})
    assert merge.options == {"log-driver": "journald", "live-restore": True}


def test_rotation_is_not_forced_on_a_driver_the_user_asks_for() -> None:
    merge = dd.merge({}, {"log-driver": "journald"}, DEFAULTS, {})
    assert merge.options == {"log-driver": "journald", "live-restore": True}


def test_our_rotation_goes_when_the_user_asks_for_another_driver() -> None:
    first = dd.merge({}, {}, DEFAULTS, {})
    assert dd.merge(first.options, {"log-driver": "journald"}, DEFAULTS, first.ours).options == {
        "log-driver": "journald",
        "live-restore": True,
    }


def test_rotation_is_added_to_a_driver_that_knows_it() -> None:
    merge = dd.merge({"log-driver": "local"}, {}, DEFAULTS, {})
    assert merge.options["log-driver"] == "local"
    assert merge.options["log-opts"] == {"max-size": "50m", "max-file": "5"}


def test_a_changed_default_replaces_our_old_one() -> None:
    first = dd.merge({}, {}, DEFAULTS, {})
    second = dd.merge(
        first.options, {}, {"log-opts": {"max-size": "10m", "max-file": "5"}, **{"live-restore": True}}, first.ours
    )
    assert second.options["log-opts"]["max-size"] == "10m"


def test_an_option_no_longer_wanted_goes_away() -> None:
    first = dd.merge({"debug": True, "insecure-registries": ["theirs:5000"]}, REQUIRED, {}, {})
    second = dd.merge(first.options, {}, {}, first.ours)
    assert second.options == {"debug": True, "insecure-registries": ["theirs:5000"]}
    assert second.ours == {}


def test_an_option_that_someone_changed_since_stays() -> None:
    first = dd.merge({}, {}, DEFAULTS, {})
    theirs = {**first.options, "live-restore": False}
    assert dd.merge(theirs, {}, {}, first.ours).options == {"live-restore": False}


def test_a_value_that_was_there_before_us_is_not_ours_to_remove() -> None:
    first = dd.merge({"features": {"cdi": True}}, {"features": {"cdi": True}}, {}, {})
    assert dd.merge(first.options, {}, {}, first.ours).options == {"features": {"cdi": True}}


keys = st.sampled_from(["bip", "debug", "dns", "features", "log-opts", "labels", "live-restore"])
values = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=3) | st.lists(st.text(max_size=2), unique=True, max_size=3),
    lambda v: st.dictionaries(keys, v, max_size=3),
    max_leaves=6,
)
options = st.dictionaries(keys, values, max_size=5)


@pytest.mark.long
@settings(max_examples=500)
@given(current=options, required=options, defaults=options)
def test_a_second_run_changes_nothing(
    current: dict[str, Any], required: dict[str, Any], defaults: dict[str, Any]
) -> None:
    first = dd.merge(current, required, defaults, {})
    second = dd.merge(first.options, required, defaults, dd.parse_ours(dd.store_ours(first.ours)))
    assert second.options == first.options
    assert second.ours == first.ours


@pytest.mark.long
@given(current=options, required=options)
def test_keys_that_are_not_ours_never_change(current: dict[str, Any], required: dict[str, Any]) -> None:
    merged = dd.merge(current, required, {}, {}).options
    assert {key: merged.get(key) for key in current if key not in required} == {
        key: current[key] for key in current if key not in required
    }


@pytest.mark.parametrize(
    ("before", "after", "needed"),
    [
        ({}, {}, "none"),
        ({"debug": True}, {"debug": True}, "none"),
        ({}, {"live-restore": True}, "reload"),
        ({}, {"live-restore": True, "features": {"cdi": True}}, "restart"),
        ({"bip": "10.1.0.1/24"}, {}, "restart"),
    ],
)
def test_effect(before: dict[str, Any], after: dict[str, Any], needed: str) -> None:
    assert dd.effect(before, after) == needed


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"default-address-pools": [{"base": "10.0.0.0/33", "size": 24}]},
            "docker_engine_address_pools[0].base: '10.0.0.0/33' is not a network.",
        ),
        (
            {"default-address-pools": [{"base": "10.0.0.0/16", "size": 8}]},
            "docker_engine_address_pools[0].size: 8 does not cut 10.0.0.0/16 into networks.",
        ),
        (
            {"default-address-pools": [{"base": "10.0.0.0/8", "size": 24}, {"base": "10.9.0.0/16", "size": 24}]},
            "docker_engine_address_pools[1].base: 10.9.0.0/16 overlaps pool [0] (10.0.0.0/8).",
        ),
        ({"exec-opts": ["native.cgroupdriver=foo"]}, "daemon.json: exec-opts: 'foo' is no cgroup driver."),
        ({"default-runtime": "nvidia"}, "daemon.json: default-runtime: no runtime is named 'nvidia'."),
        (
            {"runtimes": {"nvidia": {"path": "/usr/bin/absent"}}},
            "daemon.json: runtimes.nvidia.path: /usr/bin/absent does not exist.",
        ),
        ({"log-opts": {"max-file": 5}}, "daemon.json: log-opts.max-file: 5 must be a text."),
        ({"log-opts": {"max-size": "50 gold"}}, "daemon.json: log-opts.max-size: '50 gold' is no size."),
        ({"log-opts": {"max-size": "0m"}}, "daemon.json: log-opts.max-size: '0m' is no size."),
        (
            {"hosts": ["tcp://0.0.0.0:2375"]},
            "daemon.json: hosts: the docker service already passes -H, and dockerd refuses to start with both.",
        ),
        (
            {"live-restore": True},
            "daemon.json: live-restore: a node of a swarm can't keep containers through a restart of Docker.",
        ),
    ],
)
def test_what_dockerd_validate_lets_through_is_refused(options: dict[str, Any], said: str) -> None:
    state = dd.HostState(swarm_active=True, hosts_flag=True)
    with pytest.raises(FleetError) as caught:
        dd.check(options, state, {"default-address-pools": "docker_engine_address_pools"}, "daemon.json")
    assert caught.value.message == said
    assert caught.value.remedy.endswith("Nothing was changed.")


def test_good_options_pass() -> None:
    options = {
        "default-address-pools": [{"base": "10.200.0.0/16", "size": 24}, {"base": "fd00:1::/48", "size": 64}],
        "runtimes": {"nvidia": {"path": "/usr/bin/nvidia-container-runtime"}},
        "default-runtime": "nvidia",
        "log-opts": {"max-size": "50m"},
        "exec-opts": ["native.cgroupdriver=systemd"],
        "live-restore": True,
    }
    dd.check(options, dd.HostState(files=frozenset({"/usr/bin/nvidia-container-runtime"})), {}, "daemon.json")


def test_a_restart_that_stops_containers_needs_consent() -> None:
    with pytest.raises(FleetError) as caught:
        dd.check_consent({}, {"features": {"cdi": True}, "debug": True}, 3)
    assert "to take over features, and without live-restore that stops 3 running containers" in caught.value.message
    dd.check_consent({}, {"features": {"cdi": True}, "live-restore": True}, 3)
    dd.check_consent({}, {"features": {"cdi": True}}, 0)
    dd.check_consent({}, {"debug": True}, 3)


def test_credentials_of_a_proxy_are_hidden() -> None:
    assert credentials.hidden('"http-proxy": "http://me:secret@proxy:3128"') == '"http-proxy": "http://***@proxy:3128"'


@pytest.mark.parametrize("stored", [None, {}, "x", [1], [{"path": "x"}]])
def test_a_damaged_record_counts_as_none(stored: Any) -> None:
    assert dd.parse_ours(stored) == {}


PROXY = "http://me:p@ss:w0rd@proxy:3128"
PROXIES: dict[str, Any] = {"proxies": {"http-proxy": PROXY}, "registry-mirrors": ["https://u:s3cret@mirror"]}


def test_credentials_are_collected_with_whatever_signs_they_hold() -> None:
    assert credentials.secrets(PROXIES) == {
        PROXY,
        "me:p@ss:w0rd",
        "p@ss:w0rd",
        "https://u:s3cret@mirror",
        "u:s3cret",
        "s3cret",
    }
    assert credentials.secrets({"bip": "10.0.0.1/24", "dns": ["1.1.1.1"], "labels": ["mail=a@b"]}) == set()


def test_the_record_holds_no_credentials_and_is_still_known_again() -> None:
    first = dd.merge({}, PROXIES, {}, {})
    stored = str(dd.store_ours(first.ours))
    assert "s3cret" not in stored and "w0rd" not in stored
    recorded = dd.parse_ours(dd.store_ours(first.ours))
    again = dd.merge(first.options, PROXIES, {}, recorded)
    assert (again.options, again.ours) == (first.options, first.ours)
    assert dd.merge(first.options, {}, {}, recorded).options == {}


def test_a_record_with_credentials_of_an_earlier_version_is_understood() -> None:
    old = [{"path": ["proxies", "http-proxy"], "value": PROXY}]
    assert dd.merge({"proxies": {"http-proxy": PROXY}}, {}, {}, dd.parse_ours(old)).options == {}


def test_a_proxy_that_someone_changed_since_stays() -> None:
    first = dd.merge({}, PROXIES, {}, {})
    theirs = {"proxies": {"http-proxy": "http://x:y@other:1"}}
    assert dd.merge(theirs, {}, {}, first.ours).options == theirs


def test_a_diff_hides_a_password_with_signs_in_it() -> None:
    assert credentials.hidden(f'"http-proxy": "{PROXY}"') == '"http-proxy": "http://***@proxy:3128"'


def test_what_has_no_value_is_not_asked_for() -> None:
    asked = {"features": {"cdi": False}, "data-root": "", "dns": [], "bip": "10.0.0.1/24", "x": {"a": 0}}
    assert dd.without_empty(asked) == {"bip": "10.0.0.1/24"}


def test_options_are_laid_over_others_key_by_key() -> None:
    assert dd.overlay({"features": {"cdi": True}, "a": 1}, {"features": {"x": False}, "a": 2}) == {
        "features": {"cdi": True, "x": False},
        "a": 2,
    }


def test_a_host_handed_back_keeps_where_its_data_lies_and_what_others_wrote() -> None:
    theirs = {"bip": "10.1.0.1/24", "insecure-registries": ["theirs:5000"]}
    wanted = {"data-root": "/data/docker", "features": {"cdi": True, "containerd-snapshotter": False}, **REQUIRED}
    wanted["features"] = {"cdi": True, "containerd-snapshotter": False}
    first = dd.merge(theirs, wanted, DEFAULTS, {})
    keep = frozenset({("data-root",), ("features", "containerd-snapshotter")})
    back = dd.merge(first.options, {}, {}, first.ours, keep)
    assert back.options == {**theirs, "data-root": "/data/docker", "features": {"containerd-snapshotter": False}}


@pytest.mark.parametrize("size", ["50m", "10MB", "1.5g", "50 MB", "100MiB", "1048576", "-1"])
def test_sizes_that_docker_takes_are_taken(size: str) -> None:
    dd.check({"log-opts": {"max-size": size}}, dd.HostState(), {}, "daemon.json")


NVIDIA = {"runtimes": {"nvidia": {"args": [], "path": "nvidia-container-runtime"}}}


@pytest.mark.parametrize(
    "there",
    [
        # What `nvidia-ctk runtime configure --set-as-default` leaves.
        {**NVIDIA, "default-runtime": "nvidia"},
        # The way around vanishing cards with the old runtime.
        {**NVIDIA, "exec-opts": ["native.cgroupdriver=cgroupfs"]},
        {"bip": "172.30.0.1/24", "default-address-pools": [{"base": "172.30.0.0/16", "size": 24}]},
        {"log-driver": "local", "log-opts": {"max-size": "10m", "compress": "true"}},
        {"proxies": {"http-proxy": "http://u:p@x:3128"}},
    ],
)
def test_what_other_recipes_leave_is_kept_and_no_reason_to_stop(there: dict[str, Any]) -> None:
    merge = dd.merge(there, REQUIRED, DEFAULTS, {})
    dd.check(merge.options, dd.HostState(), {}, "daemon.json")
    dd.check_consent(there, merge.options, 2)
    assert {key: merge.options[key] for key in there if key != "log-opts"} == {
        key: value for key, value in there.items() if key != "log-opts"
    }
    assert there.get("log-opts", {}).items() <= merge.options["log-opts"].items()


@pytest.mark.parametrize(
    "option",
    [
        *("authorization-plugins", "debug", "default-runtime", "insecure-registries", "labels", "live-restore"),
        *("max-concurrent-downloads", "max-concurrent-uploads", "max-download-attempts", "registry-mirrors"),
        *("runtimes", "shutdown-timeout"),
    ],
)
def test_what_the_daemon_takes_over_while_it_runs(option: str) -> None:
    assert dd.effect({option: 1}, {option: 2}) == "reload" and dd.effect({}, {option: 2}) == "reload"
    assert dd.effect({option: 1}, {option: 2, "bip": "10.1.0.1/24"}) == "restart"
    assert dd.effect({option: 1}, {option: 1}) == "none"


@pytest.mark.parametrize("option", ["insecure-registries", "registry-mirrors", "dns", "labels"])
def test_lists_of_several_parties_keep_each_one_s_entries(option: str) -> None:
    merge = dd.merge({option: ["theirs"]}, {option: ["ours"]}, {}, {})
    assert merge.options == {option: ["theirs", "ours"]}
    gone = dd.merge(merge.options, {}, {}, merge.ours)
    assert gone.options == {option: ["theirs"]}


@pytest.mark.parametrize("rotating", ["json-file", "local"])
def test_a_driver_that_rotates_is_told_how_far(rotating: str) -> None:
    merge = dd.merge({"log-driver": rotating}, {}, DEFAULTS, {})
    assert merge.options["log-opts"] == DEFAULTS["log-opts"]
