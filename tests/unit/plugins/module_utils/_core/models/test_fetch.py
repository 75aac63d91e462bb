# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is fetched, in which order, which engines start offline then, and what a person reads meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.filter.offline_models import offline_models
from ansible_collections.gpuserve.fleet.plugins.filter.with_model_info import with_model_info
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import fetch

INFO = {
    "format": 1,
    "id": "o/m",
    "commit": "c" * 40,
    "config": {},
    "files": [{"path": "model.safetensors", "bytes": 9}],
}


def test_each_repository_once_folders_never_adapters_too() -> None:
    models: list[dict[str, Any]] = [
        {"name": "a", "model": "o/m", "info": INFO, "lora_adapters": [{"name": "l", "path": "o/l"}]},
        {"name": "b", "model": "o/m", "info": INFO},
        {"name": "c", "model": "/srv/m", "lora_adapters": [{"name": "k", "path": "/srv/l"}]},
        {"name": "d", "model": "o/n", "revision": "v1"},
    ]
    found = {(repository.id, repository.revision): repository for repository in fetch.repositories(models)}
    assert set(found) == {("o/m", "c" * 40), ("o/l", "main"), ("o/n", "v1")}
    assert found["o/m", "c" * 40].names == ("a", "b") and found["o/m", "c" * 40].files == {"model.safetensors": 9}
    assert found["o/n", "v1"].files is None


@pytest.mark.parametrize(
    ("entry", "offline"),
    [
        ({"model": "o/m", "info": INFO}, True),
        ({"model": "o/m"}, True),
        ({"model": "/srv/m"}, True),
        ({"model": "o/m", "info": INFO, "extra_args": ["--tokenizer=o/t"]}, False),
        ({"model": "o/m", "info": INFO, "extra_args": ["--speculative-config", '{"model": "o/draft"}']}, False),
        ({"model": "o/m", "info": INFO, "extra_args": ["-sc", '{"model": "o/draft"}']}, False),
        ({"model": "o/m", "info": INFO, "extra_args": ["-sc.model=o/draft"]}, False),
        ({"model": "o/m", "info": INFO, "extra_args": ["--spec_model", "o/draft"]}, False),
        ({"model": "o/m", "info": INFO, "extra_args": ["--speculative_config.model", "o/draft"]}, False),
        ({"model": "o/m", "info": INFO, "extra_args": ["--tokenizer-mode", "mistral"]}, True),
        ({"model": "o/m", "info": {**INFO, "config": {"auto_map": {"AutoModel": "o/code--x.Y"}}}}, False),
        (
            {"model": "o/m", "info": {**INFO, "config": {"auto_map": {"AutoModel": "x.Y"}}}, "trust_remote_code": True},
            True,
        ),
        ({"model": "o/m", "trust_remote_code": True}, False),
    ],
)
def test_an_engine_starts_offline_where_all_that_it_needs_is_there(entry: dict[str, Any], offline: bool) -> None:
    entry = {"name": "m", **entry}
    assert (offline_models([entry], True) == ["m"]) is offline
    assert (offline_models([entry], False) == ["m"]) is (entry["model"] == "/srv/m")


def test_a_model_that_was_read_is_pinned_and_brings_its_info_along() -> None:
    read = {"o/m@main": INFO, "o/m@v1": {**INFO, "commit": "d" * 40}, "o/m@main with conf.json": {**INFO, "commit": ""}}
    plain, branch, config = with_model_info(
        [{"model": "o/m"}, {"model": "o/m", "revision": "v1"}, {"model": "o/m", "config_path": "conf.json"}], read
    )
    assert (plain["revision"], branch["revision"]) == ("c" * 40, "d" * 40) and plain["info"] is INFO
    assert "config_path" not in config and "revision" not in config and config["info"]["commit"] == ""
    assert with_model_info("o/m", read) == "o/m" and with_model_info([1], read) == [1]


def test_all_repositories_move_at_once_the_largest_files_first() -> None:
    files = {"o/a": {"config.json": 1, "1": 50, "2": 40}, "o/b": {"1": 30}}
    assert fetch.order(files) == [("o/a", "1"), ("o/b", "1"), ("o/a", "2"), ("o/a", "config.json")]


def test_what_is_missing_is_what_is_not_there_whole_and_checked() -> None:
    expected = {"a": 1, "b": 2, "c": 3, "d": 4}
    assert fetch.missing(expected, {"a": 1, "b": 1, "d": 4}, ["d"]) == {"b": 2, "c": 3, "d": 4}


def test_lines_say_bytes_rate_and_rest() -> None:
    gib = 2**30
    meter = fetch.Meter({"o/a": 4 * gib, "o/bb": gib}, began=100.0)
    meter.done = {"o/a": gib, "o/bb": 0}
    assert meter.lines(105.0) == [" 0:05  o/a    25 %  1.00 GiB of 4.00 GiB  205 MiB/s, 0:15 left"]
    assert meter.lines(106.0) == []
    # Nothing arrives: said now and then, not all the time.
    assert meter.lines(108.0) == []
    assert meter.lines(111.0) == [" 0:11  o/bb    0 %  0.0 MiB of 1.00 GiB  0 MiB/s, nothing arrives"]
    meter.done = {"o/a": gib, "o/bb": gib}
    assert meter.lines(112.0) == [" 0:12  o/bb  fetched, 1.00 GiB"]
    assert meter.lines(115.0) == [" 0:15  o/a    25 %  1.00 GiB of 4.00 GiB  0 MiB/s, nothing arrives"]


@pytest.mark.parametrize(
    "flag",
    [
        *("--tokenizer", "--hf-config-path", "--speculative-config", "-sc", "--spec-model", "--speculative-model"),
        *("--generation-config", "--logits-processors", "--mm-processor-kwargs"),
    ],
)
def test_a_flag_that_may_name_another_repository_is_named(flag: str) -> None:
    said = f"{flag} may name another repository"
    for written in (flag, f"{flag}=x", f"{flag}.x", f"{flag} x", flag[:2] + flag[2:].replace("-", "_")):
        assert fetch.stays_online({"model": "o/m", "extra_args": [written]}) == said
    assert fetch.stays_online({"model": "o/m", "extra_args": [f"{flag}-more"]}) == ""


def test_of_files_of_one_size_the_first_name_comes_first() -> None:
    assert fetch.order({"r": {"b": 2, "a": 2, "c": 3}, "s": {"z": 1}}) == [
        ("r", "c"),
        ("s", "z"),
        ("r", "a"),
        ("r", "b"),
    ]
    assert fetch.order({}) == [] and fetch.order({"r": {}}) == []


def test_sizes_and_times_for_people() -> None:
    assert [fetch.clock(one) for one in (0, 7.9, 60, 67, 3600)] == ["0:00", "0:07", "1:00", "1:07", "60:00"]
    assert fetch.size(2**30 // 20) == "0.05 GiB" and fetch.size(2**30 // 20 - 1) == "51.2 MiB"
    assert fetch.missing({"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 1, "c": 3}, ["c"]) == {"b": 2, "c": 3}


def test_a_meter_says_what_moves_and_what_stands() -> None:
    meter = fetch.Meter({"a": 100 * 2**20, "bb": 50 * 2**20}, began=10.0)
    meter.done = {"a": 30 * 2**20}
    assert meter.lines(11.9) == [" 0:01  a    30 %  30.0 MiB of 0.10 GiB  16 MiB/s, 0:04 left"]
    # Nothing for two seconds, and nothing that moved.
    assert meter.lines(13.8) == [] and meter.lines(14.0) == []
    assert meter.lines(20.0) == [" 0:10  bb    0 %  0.0 MiB of 50.0 MiB  0 MiB/s, nothing arrives"]
    meter.done = {"a": 30 * 2**20, "bb": 50 * 2**20}
    assert meter.lines(20.5) == [" 0:10  bb  fetched, 50.0 MiB"] and meter.lines(20.6) == []
